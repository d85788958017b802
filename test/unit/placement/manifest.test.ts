import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CodedError } from '../../../core/errors.ts'
import { toCbor } from '../../../core/shape.ts'
import {
  cellIdOf,
  decodeManifest,
  MAX_MANIFEST_BYTES,
  openManifest,
  signManifest,
} from '../../../protocols/placement/index.ts'
import { manifestBy, newSigner } from './manifests.ts'

const coded = (code: string) => expect.objectContaining({ code })

describe('a signed manifest', () => {
  test('is read back as it was, and its hash is the cell', async () => {
    const signer = await newSigner()
    const manifest = manifestBy(signer.self)
    const { cell, signed } = await signManifest(manifest, signer)
    expect(await openManifest(signed)).toEqual({ cell, manifest })
    expect(cell).toBe(cellIdOf(signed.bytes))
  })

  test('has the same bytes whatever the order of its fields', async () => {
    const { self } = await newSigner()
    const manifest = manifestBy(self)
    const reversed = Object.fromEntries(Object.entries(manifest).reverse())
    expect(toCbor(reversed)).toEqual(toCbor(manifest))
  })

  test('names the same cell for ever', () => {
    expect(cellIdOf(toCbor(manifestBy('12D3KooWExample')))).toBe(
      'f6ba31359ba44bab08abce1055de567351a3a8b703d6cc3e43f09a377c3e6c5f',
    )
  })

  test('is a forgery when one bit of it or of the signature changed, or another peer signed it', async () => {
    const [owner, other] = await Promise.all([newSigner(), newSigner()])
    const { signed } = await signManifest(manifestBy(owner.self), owner)
    const signature = signed.signature.slice()
    signature[3] = (signature[3] ?? 0) ^ 1
    await expect(openManifest({ ...signed, signature })).rejects.toThrow(coded('MANIFEST_FORGED'))
    const bytes = toCbor(manifestBy(owner.self, { name: 'talk2' }))
    await expect(openManifest({ ...signed, bytes })).rejects.toThrow(coded('MANIFEST_FORGED'))
    const stolen = toCbor(manifestBy(other.self))
    await expect(openManifest({ ...signed, bytes: stolen })).rejects.toThrow(coded('MANIFEST_FORGED'))
    await expect(signManifest(manifestBy(other.self), owner)).rejects.toThrow(coded('MANIFEST_FORGED'))
    await expect(openManifest({ ...signed, bytes: toCbor(manifestBy('nobody')) })).rejects.toThrow(
      coded('MANIFEST_FORGED'),
    )
  })

  const input = (path: string) => ({ path, cid: 'a'.repeat(64), bytes: 1 })
  test.each([
    ['another version', { v: 2 }],
    ['an unknown engine', { engine: 'docker' }],
    ['a move on wasix', { engine: 'wasix', migratable: true }],
    ['canonical NaNs on wasix', { engine: 'wasix', nan: 'canonical' }],
    ['another kind of NaNs', { nan: 'signalling' }],
    ['a seed on wasix', { engine: 'wasix', seed: 'x' }],
    ['open standard input on wasix', { engine: 'wasix', stdinOpen: true }],
    ['too long a seed', { seed: 'x'.repeat(257) }],
    ['a relative path', { inputs: [input('in/x')] }],
    ['a path upwards', { inputs: [input('/in/../etc/passwd')] }],
    ['a path with a dot', { outputs: ['/in/./x'] }],
    ['a path with an empty step', { outputs: ['/in//x'] }],
    ['the root', { outputs: ['/'] }],
    ['a path with NUL', { outputs: ['/a\0b'] }],
    ['the same path twice', { inputs: [input('/x'), input('/x')] }],
    ['too many inputs', { inputs: Array.from({ length: 257 }, (_, i) => input(`/${i}`)) }],
    ['too many arguments', { args: Array.from({ length: 257 }, () => 'x') }],
    ['too long an argument', { args: ['x'.repeat(4097)] }],
    ['a module that is no hash', { module: 'A'.repeat(64) }],
    ['an empty module', { moduleBytes: 0 }],
    ['no fuel', { limits: { ...manifestBy('x').limits, fuel: 0 } }],
    ['memory that is no whole number', { limits: { ...manifestBy('x').limits, memoryBytes: 1.5 } }],
    ['a short nonce', { nonce: new Uint8Array(8) }],
    ['an owner that is no peer id', { owner: 'a/b' }],
  ])('is malformed with %s', (_, change) => {
    const bytes = toCbor({ ...manifestBy('12D3KooWExample'), ...change })
    expect(() => decodeManifest(bytes)).toThrow(coded('MANIFEST_MALFORMED'))
  })

  test('is refused by its size before it is read', () => {
    expect(() => decodeManifest(new Uint8Array(MAX_MANIFEST_BYTES + 1))).toThrow(`${MAX_MANIFEST_BYTES} is the most`)
  })

  test('decoding never throws anything but its code, for any bytes and any damage', () => {
    const valid = toCbor(manifestBy('12D3KooWExample'))
    const check = (bytes: Uint8Array): void => {
      try {
        decodeManifest(bytes)
      } catch (error) {
        expect(error).toBeInstanceOf(CodedError)
        expect(error).toMatchObject({ code: 'MANIFEST_MALFORMED' })
      }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), check), { numRuns: 200 })
    fc.assert(
      fc.property(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 }), fc.nat(valid.length), (at, flip, end) => {
        const damaged = valid.slice()
        damaged[at] = (damaged[at] ?? 0) ^ flip
        check(damaged)
        check(damaged.subarray(0, end))
      }),
      { numRuns: 300 },
    )
  })
})

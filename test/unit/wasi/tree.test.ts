// The file tree against a model: plain arrays of bytes, and the sum of their lengths.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Content } from '../../../cells/wasi/content.ts'
import { Errno } from '../../../cells/wasi/errno.ts'
import { directoryNode, type FileNode } from '../../../cells/wasi/nodes.ts'
import { PIECE_BYTES } from '../../../cells/wasi/pieces.ts'
import { resolve } from '../../../cells/wasi/resolve.ts'
import { Tree } from '../../../cells/wasi/tree.ts'

const DISK = 4096

const step = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    file: fc.nat(2),
    position: fc.nat(1500),
    bytes: fc.uint8Array({ maxLength: 1200 }),
  }),
  fc.record({ kind: fc.constant('resize' as const), file: fc.nat(2), size: fc.nat(3000) }),
)

it('files hold what was written, and the disk what the files hold', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.uint8Array({ maxLength: 500 }), (steps, input) => {
      const tree = new Tree({ diskBytes: DISK, root: directoryNode(1, 0), nextInode: 2 })
      const original = input.slice()
      const files = ['a', 'b', 'c'].map(
        (name) => tree.createFile(tree.root, name, 0, Content.shared(tree.pool, input), `/${name}`) as FileNode,
      )
      const model = files.map(() => Array.from(input))
      for (const one of steps) {
        const [file, bytes] = [files[one.file], model[one.file]]
        if (file === undefined || bytes === undefined) continue
        const used = model.reduce((sum, { length }) => sum + length, 0)
        if (one.kind === 'resize') {
          const fits = one.size - bytes.length <= Math.max(0, DISK - used)
          expect(tree.resize(file, one.size, 0) === 0).toBe(fits)
          if (fits) bytes.splice(0, bytes.length, ...padded(bytes, one.size))
          continue
        }
        const end = Math.min(one.position + one.bytes.length, bytes.length + Math.max(0, DISK - used))
        const written = tree.write(file, one.position, one.bytes, 0, one.bytes.length, 0)
        expect(written).toBe(Math.max(0, end - one.position))
        if (written === 0) continue
        const longer = padded(bytes, Math.max(bytes.length, end))
        longer.splice(one.position, written, ...one.bytes.subarray(0, written))
        bytes.splice(0, bytes.length, ...longer)
      }
      for (const [index, file] of files.entries()) expect(Array.from(file.content.bytes())).toEqual(model[index])
      expect(tree.usedBytes).toBe(model.reduce((sum, { length }) => sum + length, 0))
      expect(input).toEqual(original)
    }),
    { numRuns: 200 },
  )
})

it('links take room on the disk, and give it back', () => {
  const tree = new Tree({ diskBytes: 10, root: directoryNode(1, 0), nextInode: 2 })
  expect(tree.createLink(tree.root, 'a', 0, 'ü/b')).toMatchObject({ kind: 'link' })
  expect(tree.usedBytes).toBe(4)
  expect(tree.createLink(tree.root, 'b', 0, '1234567')).toBe(Errno.NOSPC)
  tree.unlink(tree.root, 'a', 0)
  expect(tree.usedBytes).toBe(0)
  expect(tree.createLink(tree.root, 'b', 0, '1234567')).toMatchObject({ kind: 'link' })
})

it('growing by small writes copies little', () => {
  const tree = new Tree({ diskBytes: 2 ** 24, root: directoryNode(1, 0), nextInode: 2 })
  const file = tree.createFile(tree.root, 'a', 0) as FileNode
  const buffers = new Set<ArrayBufferLike>()
  for (let at = 0; at < 2 ** 20; at += 16) {
    tree.write(file, at, new Uint8Array(16).fill(7), 0, 16, 0)
    buffers.add(file.content.piece(Math.floor(at / PIECE_BYTES)).buffer)
  }
  expect(file.content.bytes().every((byte) => byte === 7)).toBe(true)
  expect(buffers.size).toBeLessThan(2 ** 20 / PIECE_BYTES + 16)
})

it('no path resolves outside its base', () => {
  const names = fc.constantFrom('a', 'b', 'link', '..', '.', '', 'new')
  const path = fc.array(names, { minLength: 1, maxLength: 12 }).map((parts) => parts.join('/'))
  fc.assert(
    fc.property(path, path, fc.constantFrom('follow', 'link', 'name'), (target, wanted, ending) => {
      const tree = new Tree({ diskBytes: DISK, root: directoryNode(1, 0), nextInode: 2 })
      const base = tree.createDirectory(tree.root, 'a', 0)
      if (typeof base === 'number') throw new Error('not made')
      const inner = tree.createDirectory(base, 'a', 0)
      if (typeof inner === 'number') throw new Error('not made')
      tree.createDirectory(inner, 'b', 0)
      tree.createLink(inner, 'link', 0, target)
      tree.createLink(base, 'link', 0, target)
      tree.createFile(tree.root, 'new', 0)
      const found = resolve(tree.root, base, wanted, ending)
      if (typeof found === 'number') return
      for (let at = found.parent ?? base; at !== base; ) {
        expect(at.parent).toBeDefined()
        at = at.parent ?? base
      }
      expect(found.node).not.toBe(tree.root)
    }),
    { numRuns: 500 },
  )
})

function padded(bytes: readonly number[], length: number): number[] {
  return [...bytes.slice(0, length), ...new Array<number>(Math.max(0, length - bytes.length)).fill(0)]
}

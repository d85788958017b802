// Capturing and restoring: nothing a program can observe is lost, and no state, however damaged, does harm.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Errno } from '../../../cells/wasi/errno.ts'
import { type WasiState, wasiState } from '../../../cells/wasi/index.ts'
import { utf8 } from '../../../core/bytes.ts'
import { CodedError } from '../../../core/errors.ts'
import { fromCbor, toCbor } from '../../../core/shape.ts'
import { Guest, Open, ROOT } from './guest.ts'

const travel = (state: WasiState): WasiState => fromCbor(toCbor(state), wasiState, 'SNAPSHOT_MALFORMED')

/** A guest with one of everything. */
function busy(): Guest {
  const files = [
    { path: '/in/a.txt', bytes: utf8('hello') },
    { path: '/in/b.txt', bytes: utf8('bye') },
  ]
  const guest = new Guest({ args: ['guest', '--flag', ''], env: { A: 'b=c' }, files, stdin: 'some input' })
  guest.write(guest.open('in/a.txt', 0, { fdFlags: 1 }), ' world')
  guest.call('path_link', ROOT, 0, ...guest.text('in/b.txt'), ROOT, ...guest.text('tmp/hard', 6000))
  guest.symlink('../in/a.txt', 'tmp/soft')
  const gone = guest.open('tmp/gone', Open.CREAT)
  guest.write(gone, 'unlinked')
  guest.seek(gone, 2n, 0)
  guest.path('path_unlink_file', 'tmp/gone')
  guest.path('path_create_directory', 'removed')
  guest.open('removed', Open.DIRECTORY)
  guest.path('path_remove_directory', 'removed')
  guest.read(0, 4)
  guest.write(1, 'out')
  guest.call('fd_close', 2)
  return guest
}

describe('restoring', () => {
  it('gives an equal state', () => {
    const guest = busy()
    const state = travel(guest.wasi.state())
    guest.restore(state)
    expect(travel(guest.wasi.state())).toEqual(state)
    expect(toCbor(guest.wasi.state())).toEqual(toCbor(state))
  })

  it('goes on where the program was', () => {
    const guest = busy()
    guest.restore(travel(guest.wasi.state()))
    expect(guest.read(0)).toBe(' input')
    expect(guest.read(5)).toBe('linked')
    expect(guest.write(5, '!')).toBe(1)
    expect(guest.write(4, '+')).toBe(1)
    expect(guest.file('/tmp/soft')).toBe('hello world+')
    expect(guest.open('x', Open.CREAT, { fd: 6 })).toBe(-Errno.NOENT)
    expect(guest.open('tmp/new', Open.CREAT)).toBe(2)
    expect(guest.write(1, 'more')).toBe(4)
    expect(guest.output.at(-1)).toEqual({ stream: 'stdout', offset: 3, text: 'more' })
    guest.write(guest.open('tmp/hard'), 'BYE')
    expect(guest.file('/in/b.txt')).toBe('BYE')
    expect(guest.call('args_sizes_get', 8, 12)).toBe(0)
    expect([guest.u32(8), guest.u32(12)]).toEqual([3, 14])
    expect(guest.call('environ_get', 8, 64)).toBe(0)
    expect(guest.textAt(guest.u32(8), 6)).toBe('A=b=c\0')
  })

  it('keeps what counts against the disk, and gives it back', () => {
    const guest = busy()
    const bytes = guest.wasi.diskBytes()
    const link = '../in/a.txt'.length
    expect(bytes).toBe('hello world'.length + 'bye'.length + 'unlinked'.length + link)
    guest.restore(travel(guest.wasi.state()))
    expect(guest.wasi.diskBytes()).toBe(bytes)
    guest.call('fd_close', 5)
    guest.path('path_unlink_file', 'in/b.txt')
    expect(guest.wasi.diskBytes()).toBe(bytes - 'unlinked'.length)
    guest.path('path_unlink_file', 'tmp/hard')
    expect(guest.wasi.diskBytes()).toBe('hello world'.length + link)
  })

  it('still knows which files are untouched inputs', () => {
    const files = [
      { path: '/a', bytes: utf8('a') },
      { path: '/b', bytes: utf8('b') },
    ]
    const guest = new Guest({ files })
    guest.write(guest.open('b'), 'B')
    guest.restore(travel(guest.wasi.state()))
    expect(guest.wasi.changedFiles().map(({ path }) => path)).toEqual(['/b'])
  })
})

/** What a tampered state is made from: each turns a good one into one that must be refused. */
const damages: Readonly<Record<string, (state: Draft) => void>> = {
  'no root': (state) => (state.root = 999),
  'a file as root': (state) => (state.root = inodeOf(state, 'file')),
  'an inode twice': (state) => state.nodes.push(state.nodes[0] as Draft['nodes'][number]),
  'an inode beyond the counter': (state) => (state.nextInode = 2),
  'a name that leads nowhere': (state) => rootEntries(state).push({ name: 'x', cookie: 900, inode: 999 }),
  'a cookie out of order': (state) => rootEntries(state).reverse(),
  'a cookie beyond the counter': (state) => {
    for (const entry of rootEntries(state)) entry.cookie += 10_000
  },
  'a directory in itself': (state) => rootEntries(state).push({ name: 'x', cookie: 900, inode: state.root }),
  'a directory in two places': (state) => {
    const first = rootEntries(state)[0]
    if (first !== undefined) rootEntries(state).push({ ...first, name: 'twice', cookie: 5 })
  },
  'a name that climbs': (state) => Object.assign(rootEntries(state)[0] ?? {}, { name: '..' }),
  'a name with a slash': (state) => Object.assign(rootEntries(state)[0] ?? {}, { name: 'a/b' }),
  'an empty name': (state) => Object.assign(rootEntries(state)[0] ?? {}, { name: '' }),
  'an orphan': (state) => (state.descriptors = state.descriptors.filter(({ fd }) => fd !== 5)),
  'a directory opened as a file': (state) => {
    state.descriptors.push({ kind: 'file', fd: 40, flags: 0, rights: 0, inheriting: 0, inode: state.root, position: 0 })
  },
  'a descriptor twice': (state) => state.descriptors.push({ kind: 'stdin', fd: 0, flags: 0, rights: 0, inheriting: 0 }),
  'a descriptor too high': (state) =>
    state.descriptors.push({ kind: 'stdin', fd: 4096, flags: 0, rights: 0, inheriting: 0 }),
  'unknown rights': (state) => Object.assign(state.descriptors[0] ?? {}, { rights: 2 ** 31 }),
  'a negative position': (state) => Object.assign(state.descriptors.find(({ fd }) => fd === 4) ?? {}, { position: -1 }),
  'a fractional clock': (state) => (state.monotonicUs = 0.5),
}

interface Draft {
  root: number
  nextInode: number
  monotonicUs: number
  nodes: { kind: string; inode: number; entries?: { name: string; cookie: number; inode: number }[] }[]
  descriptors: { kind: string; fd: number; [field: string]: unknown }[]
}

function inodeOf(state: Draft, kind: string): number {
  return state.nodes.find((node) => node.kind === kind)?.inode ?? 0
}

function rootEntries(state: Draft): { name: string; cookie: number; inode: number }[] {
  return state.nodes.find(({ inode }) => inode === state.root)?.entries ?? []
}

describe('a damaged state', () => {
  it.each(Object.entries(damages))('%s is refused', (_, damage) => {
    const guest = busy()
    const state = structuredClone(guest.wasi.state())
    guest.restore(structuredClone(state))
    damage(state as unknown as Draft)
    expect(() => guest.restore(state)).toThrow(expect.objectContaining({ code: 'SNAPSHOT_MALFORMED' }))
  })

  it('two directories in each other are refused', () => {
    const guest = busy()
    const state = structuredClone(guest.wasi.state()) as unknown as Draft
    const now = { seconds: 0, nanoseconds: 0 }
    const times = { atime: now, mtime: now, ctime: now, nextCookie: 4 }
    const holding = (inode: number, other: number) => ({
      ...{ kind: 'directory', inode, ...times, entries: [{ name: 'x', cookie: 3, inode: other }] },
    })
    state.nextInode += 2
    state.nodes.push(
      holding(state.nextInode - 1, state.nextInode - 2),
      holding(state.nextInode - 2, state.nextInode - 1),
    )
    expect(() => guest.restore(state)).toThrow(expect.objectContaining({ code: 'SNAPSHOT_MALFORMED' }))
  })

  it('whatever is not a state is refused with one code, and what is accepted works', () => {
    const guest = busy()
    const good = guest.wasi.state()
    const keys = Object.keys(good)
    const change = fc.record({
      key: fc.constantFrom(...keys),
      depth: fc.array(fc.nat(6), { maxLength: 4 }),
      value: fc.oneof(fc.jsonValue(), fc.integer(), fc.uint8Array(), fc.constant(undefined), fc.nat(9)),
    })
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        const state: unknown = structuredClone(good)
        for (const { key, depth, value } of changes) place(state, [key, ...depth], value)
        try {
          guest.restore(state)
        } catch (error) {
          expect(error).toBeInstanceOf(CodedError)
          expect(error).toMatchObject({ code: 'SNAPSHOT_MALFORMED' })
          return
        }
        guest.open('tmp/new', Open.CREAT)
        // It may have lost the right to list its root, or the root itself.
        guest.call('fd_readdir', ROOT, 8192, 4096, 0n, 8)
        guest.wasi.changedFiles()
        guest.restore(travel(guest.wasi.state()))
      }),
      { numRuns: 400 },
    )
  })
})

/** Sets the value at `path`; numbers pick the n-th field of whatever is there. */
function place(into: unknown, path: readonly (string | number)[], value: unknown): void {
  const [first, ...rest] = path
  if (typeof into !== 'object' || into === null || ArrayBuffer.isView(into) || first === undefined) return
  const keys = Object.keys(into)
  const key = typeof first === 'string' ? first : keys[first % Math.max(1, keys.length)]
  if (key === undefined) return
  const fields = into as Record<string, unknown>
  if (rest.length === 0 || typeof fields[key] !== 'object') fields[key] = value
  else place(fields[key], rest, value)
}

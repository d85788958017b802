// Opening, reading, writing and sizes, as a program sees them.
import { describe, expect, it } from 'vitest'
import { Errno } from '../../../cells/wasi/errno.ts'
import { LimitExceeded, Wasi } from '../../../cells/wasi/index.ts'
import { utf8 } from '../../../core/bytes.ts'
import { Guest, Open } from './guest.ts'

const input = { path: '/in/a.txt', bytes: utf8('hello') }

describe('opening', () => {
  it('makes, refuses and truncates as the flags say', () => {
    const guest = new Guest({ files: [input] })
    expect(guest.open('in/none')).toBe(-Errno.NOENT)
    expect(guest.open('in/a.txt', Open.CREAT | Open.EXCL)).toBe(-Errno.EXIST)
    expect(guest.open('in/a.txt', Open.DIRECTORY)).toBe(-Errno.NOTDIR)
    expect(guest.open('in', 0)).toBe(-Errno.ISDIR)
    expect(guest.open('in', Open.DIRECTORY)).toBe(4)
    expect(guest.open('in/a.txt')).toBe(5)
    expect(guest.file('/in/a.txt')).toBe('hello')
    expect(guest.open('in/a.txt', Open.TRUNC)).toBe(6)
    expect(guest.file('/in/a.txt')).toBe('')
    expect(guest.open('in/new', Open.CREAT | Open.DIRECTORY)).toBe(-Errno.INVAL)
    expect(guest.open('in/new/', Open.CREAT)).toBe(-Errno.ISDIR)
  })

  it('gives the lowest free number, and MFILE when none is left', () => {
    const guest = new Guest({ files: [input] })
    for (let fd = 4; fd < 1024; fd++) expect(guest.open('in/a.txt')).toBe(fd)
    expect(guest.open('in/a.txt')).toBe(-Errno.MFILE)
    expect(guest.open('in/not-made', Open.CREAT)).toBe(-Errno.MFILE)
    expect(guest.file('/in/not-made')).toBeUndefined()
    expect(guest.call('fd_close', 0)).toBe(0)
    expect(guest.call('fd_close', 17)).toBe(0)
    expect([guest.open('in/a.txt'), guest.open('in/a.txt')]).toEqual([0, 17])
  })

  it('keeps read-only and write-only apart', () => {
    const guest = new Guest({ files: [input] })
    const reader = guest.open('in/a.txt', 0, { rights: 2n })
    const writer = guest.open('in/a.txt', 0, { rights: 64n })
    expect(guest.write(reader, 'x')).toBe(-Errno.BADF)
    expect(guest.read(writer)).toBe(-Errno.BADF)
    expect(guest.call('fd_filestat_set_size', reader, 0n)).toBe(Errno.NOTCAPABLE)
    expect(guest.file('/in/a.txt')).toBe('hello')
  })

  it('rights can be given up and not regained', () => {
    const guest = new Guest({ files: [input] })
    const fd = guest.open('in/a.txt')
    expect(guest.call('fd_fdstat_set_rights', fd, 2n, 0n)).toBe(0)
    expect(guest.write(fd, 'x')).toBe(-Errno.BADF)
    expect(guest.call('fd_fdstat_set_rights', fd, 66n, 0n)).toBe(Errno.NOTCAPABLE)
  })

  it('a renumbered descriptor keeps its position and closes what was there', () => {
    const guest = new Guest({ files: [input] })
    const fd = guest.open('in/a.txt')
    expect(guest.read(fd, 2)).toBe('he')
    expect(guest.call('fd_renumber', fd, 1)).toBe(0)
    expect(guest.read(1)).toBe('llo')
    expect(guest.read(fd)).toBe(-Errno.BADF)
    expect(guest.call('fd_renumber', 1, 99)).toBe(Errno.BADF)
    expect(guest.call('fd_renumber', 1, 1)).toBe(0)
  })
})

describe('data', () => {
  it('never writes to the bytes of an input', () => {
    const bytes = utf8('hello')
    const guest = new Guest({ files: [{ path: '/a', bytes }] })
    guest.write(guest.open('a'), 'J')
    expect(guest.file('/a')).toBe('Jello')
    expect(bytes).toEqual(utf8('hello'))
  })

  it('appends at the end wherever the position is', () => {
    const guest = new Guest({ files: [input] })
    const fd = guest.open('in/a.txt', 0, { fdFlags: 1 })
    expect(guest.write(fd, '+')).toBe(1)
    expect(guest.seek(fd, 0n, 1)).toBe(6)
    guest.seek(fd, 0n, 0)
    expect(guest.write(fd, '+')).toBe(1)
    expect(guest.file('/in/a.txt')).toBe('hello++')
  })

  it('fills a gap and a longer truncation with zeros, also after shrinking', () => {
    const guest = new Guest({ files: [input] })
    const fd = guest.open('in/a.txt')
    expect(guest.call('fd_filestat_set_size', fd, 2n)).toBe(0)
    expect(guest.seek(fd, 2n, 2)).toBe(4)
    guest.write(fd, '!')
    expect(guest.file('/in/a.txt')).toBe('he\0\0!')
    expect(guest.call('fd_filestat_set_size', fd, 3n)).toBe(0)
    expect(guest.call('fd_filestat_set_size', fd, 6n)).toBe(0)
    expect(guest.file('/in/a.txt')).toBe('he\0\0\0\0')
  })

  it('an unlinked open file goes on, and its bytes are given back with the last descriptor', () => {
    const guest = new Guest({ files: [input] })
    const fd = guest.open('in/a.txt')
    expect(guest.path('path_unlink_file', 'in/a.txt')).toBe(0)
    expect(guest.file('/in/a.txt')).toBeUndefined()
    expect(guest.read(fd)).toBe('hello')
    expect(guest.write(fd, ' world')).toBe(6)
    expect(guest.wasi.diskBytes()).toBe(11)
    guest.call('fd_close', fd)
    expect(guest.wasi.diskBytes()).toBe(0)
  })

  it('writes what fits on the disk, then says NOSPC', () => {
    const guest = new Guest({ diskBytes: 10 })
    const fd = guest.open('a', Open.CREAT)
    expect(guest.write(fd, '12345678')).toBe(8)
    expect(guest.write(fd, 'abcd')).toBe(2)
    expect(guest.write(fd, 'ef')).toBe(-Errno.NOSPC)
    expect(guest.call('fd_filestat_set_size', fd, 11n)).toBe(Errno.NOSPC)
    expect(guest.call('fd_allocate', fd, 2n ** 40n, 2n ** 40n)).toBe(Errno.NOSPC)
    expect(guest.call('fd_pwrite', fd, ...guest.vector(4096, 4), 2n ** 52n, 8)).toBe(Errno.NOSPC)
    guest.seek(fd, 0n, 0)
    expect(guest.write(fd, 'over')).toBe(4)
    expect(guest.file('/a')).toBe('over5678ab')
  })

  it('reads standard input to its end, and knows no way back', () => {
    const guest = new Guest({ stdin: 'some input' })
    expect(guest.read(0, 4)).toBe('some')
    expect(guest.read(0)).toBe(' input')
    expect(guest.read(0)).toBe('')
    expect(guest.seek(0, 0n, 0)).toBe(-Errno.SPIPE)
    expect(guest.write(0, 'x')).toBe(-Errno.BADF)
  })
})

describe('output', () => {
  it('counts offsets by stream and joins the buffers of one write', () => {
    const guest = new Guest()
    guest.text('onetwo', 4096)
    guest.view.setUint32(520, 4099, true)
    guest.view.setUint32(524, 3, true)
    guest.vector(4096, 3)
    expect(guest.call('fd_write', 1, 512, 2, 8)).toBe(0)
    guest.write(2, 'err')
    guest.write(1, '!')
    expect(guest.output).toEqual([
      { stream: 'stdout', offset: 0, text: 'onetwo' },
      { stream: 'stderr', offset: 0, text: 'err' },
      { stream: 'stdout', offset: 6, text: '!' },
    ])
    expect(guest.wasi.outputBytes()).toBe(10)
  })

  it('delivers what fits of both streams together, then ends the program', () => {
    const guest = new Guest({ outputBytes: 8 })
    guest.write(2, '12345')
    expect(() => guest.write(1, 'abcdef')).toThrow(LimitExceeded)
    expect(guest.output.at(-1)).toEqual({ stream: 'stdout', offset: 0, text: 'abc' })
    expect(() => guest.write(2, 'x')).toThrow(expect.objectContaining({ code: 'CELL_OUTPUT_LIMIT' }))
    expect(guest.wasi.outputBytes()).toBe(8)
  })
})

describe('transfers', () => {
  it('one write takes no more than fits into its result, and says so', () => {
    const guest = new Guest()
    const memory = new WebAssembly.Memory({ initial: 1024 })
    let delivered = 0
    const wasi = new Wasi({
      ...guest.surroundings,
      limits: { outputBytes: 2 ** 40, diskBytes: 0 },
      host: { output: (_stream, _offset, bytes) => (delivered += bytes.length), wait: () => false },
      args: [],
      env: {},
      files: [],
      stdin: new Uint8Array(0),
    })
    wasi.bind(memory)
    const view = new DataView(memory.buffer)
    for (let i = 0; i < 1024; i++) view.setUint32(16 + 8 * i + 4, 2 ** 26, true)
    const write = wasi.imports().fd_write as (...args: number[]) => number
    expect(write(1, 16, 1024, 8)).toBe(0)
    expect([view.getUint32(8, true), delivered]).toEqual([0x7ffff000, 0x7ffff000])
  })
})

describe('results', () => {
  it('lists what was made or changed, not what stayed or went', () => {
    const files = ['/a', '/b', '/c', '/d/e'].map((path) => ({ path, bytes: utf8(path) }))
    const guest = new Guest({ files })
    guest.write(guest.open('b'), 'B')
    guest.path('path_unlink_file', 'c')
    guest.rename('d/e', 'd/f')
    guest.open('tmp/new', Open.CREAT)
    const changed = guest.wasi.changedFiles()
    expect(changed.map(({ path, content }) => ({ path, bytes: content.bytes() }))).toEqual([
      { path: '/b', bytes: utf8('Bb') },
      { path: '/d/f', bytes: utf8('/d/e') },
      { path: '/tmp/new', bytes: new Uint8Array(0) },
    ])
  })

  it.each(['relative', '/a/../b', '/', '/a//b', '/x/', '/a/./b', `/${'n'.repeat(256)}`, '/f/below'])(
    'refuses an input at %s',
    (path) => {
      const files = [
        { path: '/f', bytes: utf8('') },
        { path, bytes: utf8('') },
      ]
      expect(() => new Guest({ files })).toThrow(expect.objectContaining({ code: 'CELL_FILE_PATH_INVALID' }))
    },
  )
})

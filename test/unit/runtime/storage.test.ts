// What of a cell's files is on disk: the scratch file, and the folder of a host process, from both of its sides.
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { CellStorage } from '../../../cells/runtime/cell-storage.ts'
import { clearFolders, HostFolder } from '../../../cells/runtime/host-folder.ts'
import { LARGE_FILE_BYTES } from '../../../cells/runtime/limits.ts'
import { ScratchFile } from '../../../cells/runtime/scratch-file.ts'
import { Content } from '../../../cells/wasi/content.ts'
import { PIECE_BYTES, PiecePool, StorageError, type Wasi } from '../../../cells/wasi/index.ts'
import { eventually } from '../../support/eventually.ts'

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'cloudskin-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const pieceOf = (value: number, length = PIECE_BYTES): Uint8Array => new Uint8Array(length).fill(value)

describe('a scratch file', () => {
  it('gives back what it was given, keeps equal pieces once, and uses places again', () => {
    const path = folder()
    const scratch = new ScratchFile(join(path, 'scratch'))
    onTestFinished(() => scratch.close())
    const [a, b, again] = [scratch.write(pieceOf(1)), scratch.write(pieceOf(2, 100)), scratch.write(pieceOf(1))]
    expect([b, again]).toEqual([1, a])
    const into = new Uint8Array(100)
    scratch.read(b, into)
    expect(into).toEqual(pieceOf(2, 100))
    scratch.free(a)
    const whole = new Uint8Array(PIECE_BYTES)
    scratch.read(again, whole)
    expect(whole).toEqual(pieceOf(1))
    scratch.free(again)
    expect(scratch.write(pieceOf(3))).toBe(a)
    expect(() => scratch.read(b, whole)).toThrow(/holds no piece/)
    // It has no name: whoever has it open has it, and it is gone with him.
    expect(readdirSync(path)).toEqual([])
  })

  it('says so when its disk does not hold what was written', () => {
    const path = folder()
    const scratch = new ScratchFile(join(path, 'scratch'))
    onTestFinished(() => scratch.close())
    const slot = scratch.write(pieceOf(1))
    const open = readdirSync('/proc/self/fd').find((fd) => {
      try {
        return statSync(`/proc/self/fd/${fd}`).size === PIECE_BYTES && statSync(`/proc/self/fd/${fd}`).nlink === 0
      } catch {
        return false
      }
    })
    if (open === undefined) throw new Error('the scratch file is not open')
    writeFileSync(`/proc/self/fd/${open}`, pieceOf(9, 10), { flag: 'r+' })
    expect(() => scratch.read(slot, new Uint8Array(PIECE_BYTES))).toThrow(/does not hold/)
    writeFileSync(`/proc/self/fd/${open}`, pieceOf(9, 10), { flag: 'w' })
    expect(() => scratch.read(slot, new Uint8Array(PIECE_BYTES))).toThrow(StorageError)
  })

  it('says so when there is no room', () => {
    const scratch = new ScratchFile(join(folder(), 'none', 'scratch'))
    expect(() => scratch.write(pieceOf(1))).toThrow(expect.objectContaining({ full: true }))
  })
})

describe('the folder of a host process', () => {
  async function made(): Promise<{ root: string; host: HostFolder; spill: string }> {
    const root = join(folder(), 'engine')
    await clearFolders(root)
    const host = new HostFolder(root)
    return { root, host, spill: host.grants.write }
  }

  it('shows inputs while they are opened, without copying them', async () => {
    const { host } = await made()
    const file = join(folder(), 'input')
    writeFileSync(file, 'bytes')
    const seen = await host.withInputs([{ path: '/in', file, bytes: 5 }], async ([staged]) => {
      if (staged === undefined) throw new Error('it is not there')
      expect(staged.file.startsWith(host.grants.read)).toBe(true)
      expect(staged.file.startsWith(host.grants.write)).toBe(false)
      expect(statSync(staged.file).ino).toBe(statSync(file).ino)
      return staged.file
    })
    expect(() => statSync(seen)).toThrow()
    expect(readFileSync(file, 'utf8')).toBe('bytes')
    const failing = host.withInputs([{ path: '/in', file, bytes: 5 }], () => Promise.reject(new Error('no')))
    await expect(failing).rejects.toThrow('no')
    expect(readdirSync(join(host.path, 'inputs'))).toEqual([])
    await expect(host.withInputs([{ path: '/in', file: '/none', bytes: 5 }], async () => 1)).rejects.toThrow('ENOENT')
  })

  it('gives out what was written there, and nothing that leads elsewhere', async () => {
    const { root, host, spill } = await made()
    writeFileSync(join(spill, 'result-1'), 'bytes')
    expect(readFileSync(host.take('result-1', 5), 'utf8')).toBe('bytes')
    const secret = join(folder(), 'secret')
    writeFileSync(secret, 'a key')
    symlinkSync(secret, join(spill, 'link'))
    linkSync(secret, join(spill, 'second-name'))
    mkdirSync(join(spill, 'folder'))
    writeFileSync(join(spill, 'short'), 'byte')
    for (const name of ['link', 'second-name', 'folder', 'short', 'none'])
      expect(() => host.take(name, 5)).toThrow(/no file|ENOENT/)
    expect(readdirSync(join(root, 'results'))).toHaveLength(1)
    expect(readFileSync(secret, 'utf8')).toBe('a key')
  })

  it('goes with its process, and whatever is left at the next start', async () => {
    const { root, host, spill } = await made()
    writeFileSync(join(spill, 'result-1'), 'bytes')
    host.take('result-1', 5)
    const other = new HostFolder(root)
    await host.remove()
    await eventually(() => readdirSync(root).length === 2)
    expect(readdirSync(other.path).sort()).toEqual(['inputs', 'spill'])
    await clearFolders(root)
    expect([readdirSync(root), readdirSync(join(root, 'results'))]).toEqual([['results'], []])
  })
})

describe('what a program has left', () => {
  const left = (...sizes: readonly number[]): Pick<Wasi, 'changedFiles'> => {
    const files = sizes.map((size, n) => ({
      path: `/${n}`,
      content: Content.shared(new PiecePool(), pieceOf(n + 1, size)),
    }))
    return { changedFiles: () => files }
  }

  it('is in files of its own where it is large', () => {
    const path = folder()
    mkdirSync(join(path, 'spill'))
    const storage = new CellStorage(path)
    const { files, largeFiles } = storage.results(left(10, LARGE_FILE_BYTES, LARGE_FILE_BYTES + 1))
    expect(files.map(({ bytes }) => bytes.length)).toEqual([10, LARGE_FILE_BYTES])
    expect(largeFiles).toMatchObject([{ path: '/2', bytes: LARGE_FILE_BYTES + 1 }])
    const written = readFileSync(join(path, 'spill', largeFiles?.[0]?.file ?? ''))
    expect(written.equals(pieceOf(3, LARGE_FILE_BYTES + 1))).toBe(true)
  })

  it('is not there by half', () => {
    const path = folder()
    const none = new CellStorage(path)
    expect(() => none.results(left(LARGE_FILE_BYTES + 1))).toThrow(expect.objectContaining({ full: true }))
    mkdirSync(join(path, 'spill'))
    const broken = {
      path: '/3',
      content: Content.lazy(new PiecePool(), {
        size: 9 << 20,
        read: () => {
          throw new StorageError('no')
        },
      }),
    }
    const [good] = left(LARGE_FILE_BYTES + 1).changedFiles()
    if (good === undefined) throw new Error('nothing is left')
    expect(() => none.results({ changedFiles: () => [good, broken] })).toThrow('no')
    expect(readdirSync(join(path, 'spill'))).toEqual([])
  })
})

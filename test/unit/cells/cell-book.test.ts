// The book of a peer that has had many cells: what it keeps open, in memory and on the disk.
import { mkdir, mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { utf8 } from '../../../core/bytes.ts'
import { CellBook, KEEP_ENDED } from '../../../node/cells/cell-book.ts'
import type { CellRecord } from '../../../node/cells/cell-record.ts'
import { Records } from './peers.ts'

let folder: string
let book: CellBook
let kept: Map<string, Uint8Array>
let records: Records

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudskin-book-'))
  kept = new Map()
  records = new Records(kept)
  book = new CellBook(records, folder)
})

afterEach(async () => {
  await book.close()
  await rm(folder, { recursive: true, force: true })
})

function recordOf(cell: string, submittedAt: number, phase: CellRecord['phase']): CellRecord {
  const signed = { bytes: new Uint8Array(), signature: new Uint8Array() }
  const mode = { engine: 'wasi', migratable: true, nan: 'native' } as const
  return { cell, name: 'toy', signed, phase, submittedAt, mode, files: [], moves: [], timeline: [] }
}

/** Files in the book's folder that this process has open. */
async function openFiles(): Promise<string[]> {
  const links = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  )
  return links.filter((path) => path.startsWith(folder))
}

async function outputOf(cell: string): Promise<string> {
  let text = ''
  for await (const { bytes } of (await book.log(cell)).frames()) text += Buffer.from(bytes).toString()
  return text
}

test.skipIf(process.platform !== 'linux')('no file stays open for a cell that is over', async () => {
  await book.add(recordOf('a', 1, 'running'))
  const log = await book.log('a')
  await book.update('a', async (entry) => {
    await log.append('stdout', 0, utf8('said'))
    return entry
  })
  expect(await openFiles()).toHaveLength(1)
  await book.update('a', (entry) => ({ ...entry, record: { ...entry.record, phase: 'finished' } }))
  expect(await openFiles()).toEqual([])
  expect(await outputOf('a')).toBe('said')
  expect(await openFiles()).toEqual([])
})

test('a log that could not be opened once is opened the next time', async () => {
  await mkdir(join(folder, 'a', 'output'), { recursive: true })
  await expect(book.log('a')).rejects.toThrow('EISDIR')
  await rm(join(folder, 'a'), { recursive: true })
  await (await book.log('a')).append('stdout', 0, utf8('said'))
  expect(await outputOf('a')).toBe('said')
})

test('a cell that took long is not the first to be dropped, nor one that may come back', async () => {
  await book.add(recordOf('slow', 0, 'running'))
  await book.add(recordOf('away', 1, 'lost'))
  for (let i = 1; i <= KEEP_ENDED; i++) await book.add(recordOf(`cell-${i}`, i, 'finished'))
  await book.update('slow', ({ record, ...rest }) => ({
    ...rest,
    record: { ...record, phase: 'finished', endedAt: KEEP_ENDED + 1 },
  }))
  await book.add(recordOf('next', KEEP_ENDED + 2, 'running'))
  for (const cell of ['slow', 'away', 'cell-2']) expect(book.get(cell)).toBeDefined()
  expect(book.get('cell-1')).toBeUndefined()
})

test('a cell is dropped after what is being written about it, and does not come back', async () => {
  await book.add(recordOf('a', 1, 'finished'))
  const written = book.update('a', async (entry) => {
    await new Promise((resolve) => setImmediate(resolve))
    return entry
  })
  const removed = book.remove('a')
  const late = book.update('a', (entry) => entry)
  await Promise.all([written, removed])
  expect(await late).toBeUndefined()
  expect([book.get('a'), kept.size]).toEqual([undefined, 0])
})

test('what cannot be dropped does not keep the next cell out', async () => {
  for (let i = 1; i <= KEEP_ENDED; i++) await book.add(recordOf(`cell-${i}`, i, 'finished'))
  records.remove = async () => {
    throw new Error('no space left on device')
  }
  await book.add(recordOf('next', KEEP_ENDED + 1, 'finished'))
  expect(book.get('next')).toBeDefined()
})

test('of the cells that are over the last are kept, of the others all', async () => {
  await book.add(recordOf('runs', 0, 'running'))
  await mkdir(join(folder, 'cell-1'))
  await writeFile(join(folder, 'cell-1', 'output'), 'said long ago')
  for (let i = 1; i <= KEEP_ENDED + 2; i++) await book.add(recordOf(`cell-${i}`, i, 'finished'))
  expect(book.get('runs')).toBeDefined()
  expect(book.get('cell-2')).toBeUndefined()
  expect(book.get('cell-3')).toBeDefined()
  expect(book.entries()).toHaveLength(KEEP_ENDED + 1)
  expect(kept.size).toBe(KEEP_ENDED + 1)
  expect(await readdir(folder)).toEqual([])
})

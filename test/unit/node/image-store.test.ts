// Images on the disk: seen whole or not at all, wherever their file is cut off.
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { hex, utf8 } from '../../../core/bytes.ts'
import { FileImageStore } from '../../../node/adapters/image-store.ts'
import type { ImagePiece } from '../../../protocols/migration/index.ts'

const NAME = 'destination/cell/attempt'
const PIECES: readonly ImagePiece[] = [
  { bytes: new Uint8Array(70_000).fill(1), more: true },
  { bytes: new Uint8Array([2]), more: false },
  { bytes: new Uint8Array(300).fill(3), more: false },
]
const CONTEXT = utf8('what goes along')

let home: string
let images: FileImageStore

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cloudskin-images-'))
  images = new FileImageStore(home)
  await images.start()
})

afterEach(() => rm(home, { recursive: true, force: true }))

async function write(context: Uint8Array | undefined): Promise<string> {
  const image = await images.create(NAME)
  await image.append(PIECES.slice(0, 1))
  await image.sync()
  await image.append(PIECES.slice(1))
  if (context !== undefined) await image.commit(context)
  await image.abandon()
  const [file = ''] = await readdir(join(home, 'images'))
  return join(home, 'images', file)
}

async function read(): Promise<{ pieces: ImagePiece[]; context: string } | undefined> {
  const image = await images.read(NAME)
  if (image === undefined) return undefined
  const pieces: ImagePiece[] = []
  for await (const piece of image.pieces()) pieces.push({ bytes: new Uint8Array(piece.bytes), more: piece.more })
  return { pieces, context: hex(image.context) }
}

it('gives back what was committed, with and without a context, also after a restart', async () => {
  await write(CONTEXT)
  images = new FileImageStore(home)
  await images.start()
  expect(await images.list()).toEqual([NAME])
  expect(await read()).toEqual({ pieces: PIECES, context: hex(CONTEXT) })
  await write(new Uint8Array())
  expect(await read()).toEqual({ pieces: PIECES, context: '' })
  await images.drop(NAME)
  await images.drop(NAME)
  expect(await images.list()).toEqual([])
  expect(await read()).toBeUndefined()
})

it('shows nothing that was not committed, but that it is there', async () => {
  await write(undefined)
  expect(await read()).toBeUndefined()
  expect(await images.list()).toEqual([NAME])
})

it('shows nothing of an image that a crash cut off, wherever that was', async () => {
  const path = await write(CONTEXT)
  const whole = await readFile(path)
  for (const length of [0, 1, 4, 5, 6, 100, 70_004, 70_005, 70_011, whole.length - 41, whole.length - 1]) {
    await writeFile(path, whole)
    await truncate(path, length)
    expect(await read(), `cut to ${length} bytes`).toBeUndefined()
  }
})

it('shows nothing whose end is not what was written, where a crash left zeros or more', async () => {
  const path = await write(CONTEXT)
  const whole = await readFile(path)
  for (let back = 1; back <= 60; back++) {
    await writeFile(path, whole.with(-back, (whole.at(-back) ?? 0) ^ 1))
    expect(await read(), `byte ${back} from the end`).toBeUndefined()
  }
  await writeFile(path, Buffer.concat([whole, new Uint8Array(64)]))
  expect(await read()).toBeUndefined()
  await writeFile(path, whole)
  expect(await read()).toBeDefined()
})

it('begins anew under a name that was used', async () => {
  await write(CONTEXT)
  const image = await images.create(NAME)
  expect(await read()).toBeUndefined()
  await image.abandon()
})

import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FileBlobStore } from '../../../node/blob-store.ts'

// A file system of 1 MiB: needs root, without which there is no such thing as a small full disk.
let home: string
let mounted = false

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'cloudskin-full-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', home], { stdio: 'ignore' })
    mounted = true
  } catch {
    mounted = false
  }
})
afterAll(async () => {
  if (mounted) execFileSync('umount', [home])
  await rm(home, { recursive: true, force: true })
})

test('a full disk is a coded refusal, leaves nothing unfinished, and room can be used again', async (context) => {
  if (!mounted) context.skip('cannot mount a tmpfs here')
  const store = new FileBlobStore({ home })
  await store.start()
  const kept = await store.put(new Uint8Array(500_000).fill(1))
  await expect(store.put(new Uint8Array(900_000))).rejects.toMatchObject({ code: 'BLOB_STORE_FULL' })
  expect(await readdir(join(home, 'blobs', 'tmp'))).toEqual([])
  expect(store.usedBytes).toBe(500_000)
  expect(await store.readWhole(kept)).toHaveLength(500_000)
  expect(await store.remove(kept)).toBe(true)
  const next = await store.put(new Uint8Array(900_000))
  expect(await store.readWhole(next)).toHaveLength(900_000)
})

// What a program leaves behind, as results that a report can carry.
import { expect, it } from 'vitest'
import { type FileStore, keptResults, MAX_RESULT_PATH_BYTES } from '../../../node/cells/program.ts'
import { MAX_RESULT_FILES } from '../../../protocols/placement/index.ts'

function storing(): { store: FileStore; puts: Uint8Array[] } {
  const puts: Uint8Array[] = []
  const put = async (bytes: Uint8Array): Promise<string> => `cid${puts.push(bytes)}`
  return { store: { put } as unknown as FileStore, puts }
}

function left(folder: string, count: number): { path: string; bytes: Uint8Array }[] {
  return Array.from({ length: count }, (_, i) => ({ path: `${folder}/${i}`, bytes: Uint8Array.of(i & 255) }))
}

it('refuses more files than one report can tell of, before it keeps any', async () => {
  const { store, puts } = storing()
  const most = left('/out', MAX_RESULT_FILES)
  await expect(keptResults({ files: [...most, ...left('/tmp', 1)] }, [], store)).rejects.toMatchObject({
    code: 'CELL_TOO_MANY_RESULTS',
  })
  expect(puts).toHaveLength(0)
  expect(await keptResults({ files: [...most, ...left('/tmp', 9)] }, ['/out'], store)).toHaveLength(MAX_RESULT_FILES)
  expect(await keptResults({ files: left('/tmp', 3) }, ['/out', '/tmp/1'], store)).toEqual([
    { path: '/tmp/1', cid: 'cid1025', bytes: 1 },
  ])
})

it('refuses paths that together are more than one report can tell, before it keeps any', async () => {
  const { store, puts } = storing()
  const long = (count: number) => left(`/${'\u6f22'.repeat(1000)}`, count)
  const many = long(MAX_RESULT_FILES)
  await expect(keptResults({ files: many }, [], store)).rejects.toMatchObject({ code: 'CELL_TOO_MANY_RESULTS' })
  expect(puts).toHaveLength(0)
  const fitting = long(Math.floor(MAX_RESULT_PATH_BYTES / 3010))
  expect(await keptResults({ files: fitting }, [], store)).toHaveLength(fitting.length)
})

import { appendFile, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concat, utf8 } from '../../../core/bytes.ts'
import { OutputLog } from '../../../node/cells/output-log.ts'

let folder = ''
let serial = 0
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudskin-output-'))
})
afterAll(() => rm(folder, { recursive: true }))

const newPath = (): string => join(folder, `cell-${serial++}`, 'output')

async function contents(log: OutputLog, stream: 'stdout' | 'stderr'): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const frame of log.frames()) if (frame.stream === stream) parts.push(frame.bytes)
  return concat(parts)
}

describe('output log', () => {
  test('any order of overlapping repeats gives every byte once', async () => {
    const whole = Uint8Array.from({ length: 64 }, (_, index) => index)
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(63), fc.integer({ min: 1, max: 20 })), { maxLength: 60 }),
        async (pieces) => {
          const log = new OutputLog(newPath())
          await log.open()
          for (const [from, length] of pieces) await log.append('stdout', from, whole.subarray(from, from + length))
          expect(await contents(log, 'stdout')).toEqual(whole.subarray(0, log.next('stdout')))
          await log.append('stdout', 0, whole)
          expect(await contents(log, 'stdout')).toEqual(whole)
          await log.close()
        },
      ),
      { numRuns: 50 },
    )
  })

  test('a gap is not written over', async () => {
    const log = new OutputLog(newPath())
    await log.open()
    expect(await log.append('stderr', 3, utf8('late'))).toBeUndefined()
    expect(log.next('stderr')).toBe(0)
    await log.close()
  })

  test('goes on after a restart, and a torn frame is cut off', async () => {
    const path = newPath()
    const first = new OutputLog(path)
    await first.open()
    await first.append('stdout', 0, utf8('hello '))
    await first.sync()
    await first.close()
    const { size } = await stat(path)
    await appendFile(path, Buffer.from([0, 6, 0, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0, 1, 2]))
    const second = new OutputLog(path)
    await second.open()
    expect((await stat(path)).size).toBe(size)
    expect(second.next('stdout')).toBe(6)
    await second.append('stdout', 6, utf8('world'))
    expect(Buffer.from(await contents(second, 'stdout')).toString()).toBe('hello world')
    await second.close()
  })
})

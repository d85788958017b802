import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const probe = (imported: string): string => `
  import { registerHooks } from 'node:module'
  const seen = []
  registerHooks({ resolve: (name, context, next) => { seen.push(name); return next(name, context) } })
  const door = await import(${JSON.stringify(new URL('../../../fl/index.ts', import.meta.url).href)})
  const model = new door.PlacementModel({ samples: door.memorySampleStore() })
  await model.load()
  const peer = { calibrationMs: {}, cores: 1, running: 0, slots: 1, fuelShare: 1 }
  model.predict({ opcodes: [], moduleBytes: 1, inputBytes: 1, argCount: 1, maxArgument: 1 }, peer)
  ${imported}
  console.log(JSON.stringify(seen))`

async function specifiers(more = ''): Promise<string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', probe(more)])
  return JSON.parse(stdout) as string[]
}

it('a peer that only predicts never loads a tensor library', async () => {
  const seen = await specifiers()
  expect(seen.some((name) => name.endsWith('predict.ts'))).toBe(true)
  expect(seen.filter((name) => name.includes('tensorflow'))).toEqual([])
  // The probe would have seen one.
  const withLibrary = await specifiers("await import('@tensorflow/tfjs-core')")
  expect(withLibrary.some((name) => name.includes('tensorflow'))).toBe(true)
})

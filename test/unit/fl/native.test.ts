// A native library that is installed and does not work, played by a package of our own.
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudskin-fl-'))
  for (const name of ['fl', 'core']) await cp(join(ROOT, name), join(folder, name), { recursive: true })
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  const scope = join(folder, 'node_modules', '@tensorflow')
  await mkdir(join(scope, 'tfjs-node'), { recursive: true })
  const installed = join(ROOT, 'node_modules', '@tensorflow')
  for (const name of await readdir(installed))
    if (name !== 'tfjs-node') await symlink(join(installed, name), join(scope, name))
})

afterAll(() => rm(folder, { recursive: true, force: true }))

/** Which backend trained a run in the end, where importing the native library does `what`. */
async function trainedBy(what: string): Promise<string> {
  await writeFile(join(folder, 'node_modules', '@tensorflow', 'tfjs-node', 'index.js'), what)
  const at = (path: string): string => JSON.stringify(pathToFileURL(join(folder, path)).href)
  const program = `
    const { Trainer } = await import(${at('fl/trainer.ts')})
    const { initialWeights } = await import(${at('fl/architecture.ts')})
    const { FEATURE_COUNT } = await import(${at('fl/features.ts')})
    const trainer = new Trainer()
    const set = { features: new Float32Array(FEATURE_COUNT).fill(0.5), targets: Float32Array.of(1) }
    await trainer.train(initialWeights(), set, { epochs: 1, learningRate: 0.02, batch: 16, seed: 1 })
    console.log(trainer.backend)`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program])
  return stdout.trim()
}

it('trains by WebAssembly where the native library cannot be loaded', async () => {
  expect(await trainedBy('throw new Error("no binding")')).toBe('wasm')
})

it('trains by WebAssembly where the native library ends its process', async () => {
  expect(await trainedBy('process.kill(process.pid, "SIGKILL"); while (true);')).toBe('wasm')
})

// The tensor library, loaded when training first needs it: native if it is installed, else WebAssembly, else plain JavaScript.
// Only core, layers and one backend are ever imported, never the union package.
import { createRequire } from 'node:module'
import { dirname, sep } from 'node:path'
import { CodedError, messageOf } from '../core/errors.ts'
import type { FlErrorCode } from './errors.ts'

export type BackendName = 'native' | 'wasm' | 'cpu'

export interface TensorBackend {
  readonly name: BackendName
  readonly tf: typeof import('@tensorflow/tfjs-core')
  readonly layers: typeof import('@tensorflow/tfjs-layers')
}

/** Fastest first; `cpu` always works. */
const PREFERENCE: readonly BackendName[] = ['native', 'wasm', 'cpu']

const require = createRequire(import.meta.url)

const register: Record<BackendName, () => Promise<string>> = {
  async native() {
    // tfjs-node 4.22 calls a function that Node 23 removed.
    const util = require('node:util') as { isNullOrUndefined?: (value: unknown) => boolean }
    util.isNullOrUndefined ??= (value) => value === null || value === undefined
    // An optional dependency: the name is a variable so that nothing resolves it before it is wanted.
    const name: string = '@tensorflow/tfjs-node'
    await import(name)
    return 'tensorflow'
  },
  async wasm() {
    const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm')
    setWasmPaths(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + sep)
    return 'wasm'
  },
  async cpu() {
    await import('@tensorflow/tfjs-backend-cpu')
    return 'cpu'
  },
}

/**
 * Makes `wanted`, or the fastest that loads, the active backend of this thread. Rejects with `FL_BACKEND_UNAVAILABLE`, which
 * says of each one why it did not load.
 */
export async function loadBackend(wanted: BackendName | 'auto' = 'auto'): Promise<TensorBackend> {
  const failures: string[] = []
  for (const name of wanted === 'auto' ? PREFERENCE : [wanted]) {
    try {
      const tf = await import('@tensorflow/tfjs-core')
      const layers = await import('@tensorflow/tfjs-layers')
      // Keeps the library's advertisements off our stderr.
      tf.enableProdMode()
      if (!(await tf.setBackend(await register[name]()))) throw new Error('it did not initialise')
      return { name, tf, layers }
    } catch (error) {
      failures.push(`${name}: ${messageOf(error).split('\n')[0]}`)
    }
  }
  throw new CodedError<FlErrorCode>(
    'FL_BACKEND_UNAVAILABLE',
    `no tensor backend could be loaded (${failures.join('; ')}): install @tensorflow/tfjs-backend-wasm, or let the choice be automatic`,
    { facts: { wanted } },
  )
}

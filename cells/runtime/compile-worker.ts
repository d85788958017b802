// Entry of the worker that reads one foreign module: inspects it, or instruments and compiles it. One job, then it ends,
// and the memory of the job with it. The host process's own thread never touches a foreign module.
import { parentPort, workerData } from 'node:worker_threads'
import { sha256Hex } from '../../core/bytes.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import { ABI } from '../instrument/abi.ts'
import { canonicalNans } from '../instrument/canonical-nans.ts'
import { memoriesOf } from '../instrument/driver.ts'
import { describeModule, inspectModule } from '../instrument/facts.ts'
import { instrument, trackingBuild } from '../instrument/instrument.ts'
import { WASI_MODULE } from '../instrument/refusals.ts'
import { untouchedModule } from '../instrument/untouched.ts'
import { type Baseline, takeBaseline } from '../snapshot/pages.ts'
import { WASI_FUNCTIONS } from '../wasi/functions.ts'
import { bounded, type CompileJob, type CompileReport } from './messages.ts'

/** 4 GiB: what 32-bit addresses reach. */
const MAX_MEMORY_PAGES = 65_536

function work(job: CompileJob): CompileReport {
  if (job.kind === 'inspect') {
    const { engine = 'wasi', migratable = true, nan } = job.mode
    if (engine === 'wasix') return { kind: 'facts', facts: describeModule(job.module) }
    if (nan === 'canonical') canonicalNans(job.module)
    if (!migratable) untouchedModule(job.module, MAX_MEMORY_PAGES)
    const facts = migratable ? inspectModule(job.module) : describeModule(job.module)
    refuseUnknown(facts.imports)
    return { kind: 'facts', facts }
  }
  const { memoryMaxPages, nan } = job
  if (job.build === 'tracking') {
    const module = new WebAssembly.Module(trackingBuild(job.module, { memoryMaxPages, nan }))
    const moduleHash = sha256Hex(job.module)
    return { kind: 'compiled', compiled: { build: job.build, module, moduleHash, layoutHash: '', baselines: [] } }
  }
  if (job.build === 'untouched') {
    const module = untouchedModule(nan === 'canonical' ? canonicalNans(job.module) : job.module, memoryMaxPages)
    refuseUnknown(WebAssembly.Module.imports(module).map((entry) => entry.name))
    const moduleHash = sha256Hex(job.module)
    return { kind: 'compiled', compiled: { build: job.build, module, moduleHash, layoutHash: '', baselines: [] } }
  }
  const { bytes, moduleHash, layoutHash } = instrument(job.module, { memoryMaxPages, nan })
  const module = new WebAssembly.Module(bytes)
  const wasi = WebAssembly.Module.imports(module).filter((entry) => entry.module === WASI_MODULE)
  refuseUnknown(wasi.map((entry) => entry.name))
  return {
    kind: 'compiled',
    compiled: { build: job.build, module, moduleHash, layoutHash, baselines: baselinesOf(module) },
  }
}

/** Said now, by name, rather than when the program is linked on some host. */
function refuseUnknown(imports: readonly string[]): void {
  const name = imports.find((entry) => !WASI_FUNCTIONS.has(entry))
  if (name === undefined) return
  const message = `WASI preview1 has no function ${name}: compile the module for wasm32-wasip1, or leave out what needs it.`
  throw new CodedError<CellErrorCode>('CELL_UNKNOWN_IMPORT', message, { facts: { name } })
}

/** In shared memory, so that workers get them without a copy. Those of a module that cannot be instantiated are empty. */
function baselinesOf(module: WebAssembly.Module): Baseline[] {
  const count = WebAssembly.Module.exports(module).filter(({ name }) => name.startsWith(ABI.memory)).length
  try {
    const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {}
    for (const { module: from, name } of WebAssembly.Module.imports(module)) {
      imports[from] ??= {}
      imports[from][name] = () => {
        throw new Error('nothing runs while the baseline is taken')
      }
    }
    return memoriesOf(new WebAssembly.Instance(module, imports)).map(({ buffer }) => {
      const { offset, bytes } = takeBaseline(new Uint8Array(buffer))
      const shared = new Uint8Array(new SharedArrayBuffer(bytes.length))
      shared.set(bytes)
      return { offset, bytes: shared }
    })
  } catch {
    return Array.from({ length: count }, () => ({ offset: 0, bytes: new Uint8Array(0) }))
  }
}

function answer(job: CompileJob): CompileReport {
  try {
    return work(job)
  } catch (error) {
    // An engine refuses what it cannot compile with a CompileError: not a module for it, whatever the decoder thought.
    const code = isCoded(error) ? error.code : 'CELL_NOT_WASM'
    return { kind: 'failed', code, message: bounded(messageOf(error)) }
  }
}

parentPort?.postMessage(answer(workerData))

// In the host process: compiled modules by hash and memory cap, each made once, in a worker of its own.
import { Worker } from 'node:worker_threads'
import type { Clock } from '../../core/clock.ts'
import { entryUrl } from '../../core/entry.ts'
import { CodedError, messageOf } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import type { CellMode, ModuleFacts } from '../types.ts'
import { COMPILE_TIMEOUT_MS, MODULE_CACHE_ENTRIES } from './limits.ts'
import { type CompiledModule, type CompileJob, type CompileReport, type ModuleRef, NEED_MODULE } from './messages.ts'

/** What a compiled module depends on. */
export function moduleKey({ hash, memoryMaxPages, build, nan = 'native' }: Omit<ModuleRef, 'bytes'>): string {
  return `${hash}:${memoryMaxPages}:${build}:${nan}`
}

export class ModuleCache {
  readonly #clock: Clock
  readonly #heapMb: number
  /** Least recently used first. */
  readonly #compiled = new Map<string, Promise<CompiledModule>>()

  constructor(clock: Clock, heapMb: number) {
    this.#clock = clock
    this.#heapMb = heapMb
  }

  /** Throws the refusal, or `NEED_MODULE` when it is neither here nor sent along. */
  get(ref: ModuleRef): Promise<CompiledModule> {
    const key = moduleKey(ref)
    const found = this.#compiled.get(key)
    if (found === undefined && ref.bytes === undefined) {
      return Promise.reject(new CodedError(NEED_MODULE, 'the host process does not have the module'))
    }
    const compiled = found ?? this.#compile(ref, ref.bytes ?? new Uint8Array(0))
    this.#compiled.delete(key)
    this.#compiled.set(key, compiled)
    if (found === undefined) compiled.catch(() => this.#compiled.delete(key))
    for (const oldest of this.#compiled.keys()) {
      if (this.#compiled.size <= MODULE_CACHE_ENTRIES) break
      this.#compiled.delete(oldest)
    }
    return compiled
  }

  async inspect(module: Uint8Array, mode: CellMode): Promise<ModuleFacts> {
    const report = await this.#job({ kind: 'inspect', module, mode })
    if (report.kind !== 'facts') throw new Error('the compile worker answered something else')
    return report.facts
  }

  async #compile({ hash, memoryMaxPages, build, nan }: ModuleRef, module: Uint8Array): Promise<CompiledModule> {
    const report = await this.#job({ kind: 'compile', module, memoryMaxPages, build, nan })
    if (report.kind !== 'compiled') throw new Error('the compile worker answered something else')
    if (report.compiled.moduleHash !== hash) throw new Error('the module is not the one that its hash names')
    return report.compiled
  }

  async #job(job: CompileJob): Promise<CompileReport> {
    const worker = new Worker(entryUrl(import.meta.url, './compile-worker'), {
      workerData: job,
      env: {},
      stdin: false,
      resourceLimits: { maxOldGenerationSizeMb: this.#heapMb },
    })
    const late = this.#clock.after(COMPILE_TIMEOUT_MS, () => void worker.terminate())
    try {
      const report = await firstReport(worker)
      if (report.kind === 'failed') throw new CodedError(report.code, report.message)
      return report
    } finally {
      late.cancel()
      await worker.terminate()
    }
  }
}

function firstReport(worker: Worker): Promise<CompileReport> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      const message = `the module could not be instrumented: ${why}; make it smaller, or give cell hosts a larger heap`
      reject(new CodedError<CellErrorCode>('CELL_UNSUPPORTED_OPCODE', message))
    }
    worker.on('message', resolve)
    worker.on('error', (error) => fail(messageOf(error)))
    worker.on('exit', () => fail(`it took longer than ${COMPILE_TIMEOUT_MS} ms`))
  })
}

// The instance of a module that was not instrumented, in the place of one that was: it starts and ends, nothing else.
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import type { RunOutcome } from '../instrument/driver.ts'

export class UntouchedProgram {
  /** Nothing is polled. */
  readonly pollsPassed = 0
  readonly memory: WebAssembly.Memory | undefined
  readonly #instance: WebAssembly.Instance

  constructor(module: WebAssembly.Module, imports: WebAssembly.Imports) {
    this.#instance = new WebAssembly.Instance(module, imports)
    const { memory } = this.#instance.exports
    this.memory = memory instanceof WebAssembly.Memory ? memory : undefined
  }

  run(): RunOutcome {
    const start = this.#instance.exports._start as () => void
    start()
    return 'returned'
  }
}

/** Said wherever somebody wants to stop, pack or move what only runs. */
export function notMigratable(): CodedError<CellErrorCode> {
  const message = 'the cell runs untouched and cannot be suspended or moved: stop it, and run it again elsewhere'
  return new CodedError('ENGINE_NOT_MIGRATABLE', message)
}

// The instance of a module that was not instrumented, in the place of one that was: it starts and ends, nothing else.
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import type { RunOutcome } from '../instrument/driver.ts'

type HostCall = (...args: never[]) => unknown

/** `(module (func (export "t") unreachable))`: a trap is the only end that a guest's `catch_all` does not catch. */
const TRAP = Uint8Array.from([
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0],
  ...[7, 5, 1, 1, 0x74, 0, 0, 10, 5, 1, 3, 0, 0, 0x0b],
])

export class UntouchedProgram {
  /** Nothing is polled. */
  readonly pollsPassed = 0
  readonly memory: WebAssembly.Memory | undefined
  readonly #instance: WebAssembly.Instance
  readonly #trap: () => never
  /** What a call of the host ended the program with. */
  #end: { readonly thrown: unknown } | undefined

  /** `calls`: functions that may throw to end the program, by name, for the module `from`. */
  constructor(module: WebAssembly.Module, from: string, calls: Readonly<Record<string, HostCall>>) {
    this.#trap = new WebAssembly.Instance(new WebAssembly.Module(TRAP), {}).exports.t as () => never
    const used = WebAssembly.Module.imports(module).map(({ name }) => name)
    const imports = used.flatMap((name) => {
      const call = calls[name]
      return call === undefined ? [] : [[name, this.#ending(call)] as const]
    })
    this.#instance = new WebAssembly.Instance(module, { [from]: Object.fromEntries(imports) })
    const { memory } = this.#instance.exports
    this.memory = memory instanceof WebAssembly.Memory ? memory : undefined
  }

  get memoryBytes(): number {
    return this.memory?.buffer.byteLength ?? 0
  }

  run(): RunOutcome {
    const start = this.#instance.exports._start as () => void
    try {
      start()
    } catch (error) {
      throw this.#end === undefined ? error : this.#end.thrown
    }
    return 'returned'
  }

  #ending(call: HostCall): HostCall {
    return (...args) => {
      try {
        return call(...args)
      } catch (thrown) {
        this.#end = { thrown }
        return this.#trap()
      }
    }
  }
}

/** Said wherever somebody wants to stop, pack or move what only runs. */
export function notMigratable(): CodedError<CellErrorCode> {
  const message = 'the cell runs untouched and cannot be suspended or moved: stop it, and run it again elsewhere'
  return new CodedError('ENGINE_NOT_MIGRATABLE', message)
}

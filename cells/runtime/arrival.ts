// A program that comes in parts: applies them to a fresh instance, which nobody has started, as they come.
import { CodedError } from '../../core/errors.ts'
import { fromCbor } from '../../core/shape.ts'
import type { CellErrorCode } from '../errors.ts'
import { WASM_PAGE_BYTES } from '../snapshot/format.ts'
import { applyPages, reachOf } from '../snapshot/pages.ts'
import { type ReadPages, type ReadState, type SnapshotExpectation, SnapshotReader } from '../snapshot/snapshot.ts'
import { WASI_FUNCTIONS } from '../wasi/functions.ts'
import {
  contentDelta,
  ReceivedContents,
  Wasi,
  type WasiImports,
  type WasiState,
  type WasiSurroundings,
  wasiState,
} from '../wasi/index.ts'
import type { Builds } from './builds.ts'

export interface ArrivalInit {
  readonly expected: SnapshotExpectation
  readonly surroundings: WasiSurroundings
}

/** What has arrived, when all of it has. */
export interface Arrived {
  readonly wasi: Wasi
  readonly state: ReadState
}

export class Arrival {
  /** What the instance imports: the functions of a WASI that is there only at the end. */
  readonly imports: WasiImports
  readonly #init: ArrivalInit
  readonly #reader: SnapshotReader
  readonly #contents: ReceivedContents
  #calls: Readonly<Record<string, Call>> = {}

  constructor(init: ArrivalInit) {
    this.#init = init
    this.#reader = new SnapshotReader(init.expected)
    this.#contents = new ReceivedContents(init.surroundings.limits.diskBytes, init.surroundings.pool)
    const forward = (name: string): Call => {
      // By position: a rest parameter would make an array at every call. No function takes more than nine.
      return (a, b, c, d, e, f, g, h, i) => this.#calls[name]?.(a, b, c, d, e, f, g, h, i) ?? 0
    }
    this.imports = Object.fromEntries([...WASI_FUNCTIONS].map((name) => [name, forward(name)]))
  }

  /** Applies whole parts; answers the program once its state was among them. Throws `SNAPSHOT_*`. */
  add(bytes: Uint8Array, builds: Builds): Arrived | undefined {
    let arrived: Arrived | undefined
    // To the end: the reader refuses what comes behind a state.
    for (const part of this.#reader.read(bytes)) {
      if (part.kind === 'pages') this.#putPages(part, builds, reachOf(part.runs, builds.memories.length))
      else if (part.kind === 'files') {
        this.#contents.apply(fromCbor(part.content, contentDelta, 'SNAPSHOT_MALFORMED'))
      } else if (part.kind === 'rehearsal') this.#rehearse(part, builds)
      else arrived = this.#finish(part, builds)
    }
    return arrived
  }

  /** What will be done with the state, as far as nothing comes of it: the engine has compiled it then. */
  #rehearse(state: ReadState, builds: Builds): void {
    Wasi.restore(wasiOf(state), this.#init.surroundings)
    builds.current.putFrames(state.frames)
    builds.current.putGlobals(state.globals)
    builds.current.rehearse()
  }

  #finish(state: ReadState, builds: Builds): Arrived {
    this.#putPages(
      state,
      builds,
      state.memoryPages.map((pages) => pages * WASM_PAGE_BYTES),
    )
    builds.current.putFrames(state.frames)
    builds.current.putGlobals(state.globals)
    const wasi = Wasi.restore(wasiOf(state), this.#init.surroundings, this.#contents)
    this.#calls = wasi.imports() as Readonly<Record<string, Call>>
    if (builds.memory !== undefined) wasi.bind(builds.memory)
    return { wasi, state }
  }

  /** Into memories of at least so many bytes each. */
  #putPages({ runs, data }: ReadPages, builds: Builds, memoryBytes: readonly number[]): void {
    const missing = builds.bytes.map(({ length }, index) =>
      Math.max(0, Math.ceil(((memoryBytes[index] ?? 0) - length) / WASM_PAGE_BYTES)),
    )
    const more = missing.reduce((sum, one) => sum + one, 0)
    if (builds.memoryBytes / WASM_PAGE_BYTES + more > this.#init.expected.maxMemoryPages) throw tooLarge()
    for (const [index, pages] of missing.entries()) {
      try {
        if (pages > 0) builds.memories[index]?.grow(pages)
      } catch {
        throw tooLarge()
      }
    }
    applyPages(builds.bytes, runs, data)
  }
}

type Call = (...args: readonly unknown[]) => number

/** The peer goes by the header: output that the state says otherwise would look like a host process gone mad. */
function wasiOf({ wasi, usage }: ReadState): WasiState {
  const state = fromCbor(wasi, wasiState, 'SNAPSHOT_MALFORMED')
  if (usage.stdoutBytes === state.stdoutBytes && usage.stderrBytes === state.stderrBytes) return state
  throw new CodedError<CellErrorCode>(
    'SNAPSHOT_MALFORMED',
    'the snapshot counts its output in two ways; take a new one',
  )
}

function tooLarge(): CodedError<CellErrorCode> {
  return new CodedError('SNAPSHOT_MALFORMED', "the snapshot's memory is larger than this module's may be")
}

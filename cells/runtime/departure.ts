// A program that is being copied, or packed in one go, as seen from its thread: what of it goes into which part.
import { fromHex } from '../../core/bytes.ts'
import { toCbor } from '../../core/shape.ts'
import { INSTRUMENTER_VERSION } from '../instrument/abi.ts'
import { PAGE_BYTES, WASM_PAGE_BYTES } from '../snapshot/format.ts'
import { type Baseline, PAGE, type PageSlice } from '../snapshot/pages.ts'
import type { Material } from '../snapshot/snapshot.ts'
import type { CellUsage } from '../types.ts'
import type { ContentLedger, Wasi } from '../wasi/index.ts'
import type { Builds } from './builds.ts'
import { CopySession } from './copy-session.ts'
import type { CompiledModule } from './messages.ts'

export interface DepartureInit {
  readonly builds: Builds
  readonly wasi: Wasi
  readonly compiled: Pick<CompiledModule, 'moduleHash' | 'layoutHash' | 'baselines'>
  /** Where the tracking build notes its writes to each memory; absent when the program stands still until it is packed. */
  readonly maps?: readonly Uint8Array[]
}

const NO_BASELINE: Baseline = { offset: 0, bytes: new Uint8Array(0) }
const NO_PAGES: PageSlice = { runs: 0, dataPages: 0, payload: new Uint8Array(0) }

export class Departure {
  readonly session: CopySession
  readonly #init: DepartureInit
  readonly #ledger: ContentLedger

  constructor(init: DepartureInit) {
    const { builds, wasi, compiled } = init
    const memories = builds.bytes.map(({ length }, index) => ({
      map: init.maps?.[index] ?? new Uint8Array(length / PAGE_BYTES),
      bytes: length,
      baseline: compiled.baselines[index] ?? NO_BASELINE,
    }))
    const map = builds.memory === undefined ? undefined : memories[builds.memories.indexOf(builds.memory)]?.map
    this.#init = init
    this.#ledger = wasi.trackContents()
    this.session = new CopySession({ memories, files: this.#ledger })
    // What WASI itself writes passes by the stores of the tracking build.
    wasi.onWrite((pointer, length) => {
      if (length > 0)
        map?.fill(PAGE.written, Math.floor(pointer / PAGE_BYTES), Math.floor((pointer + length - 1) / PAGE_BYTES) + 1)
    })
  }

  /** The next piece of a round; see `CopySession.next`. */
  next(round: number): Material | 'later' | undefined {
    return this.session.next(round, this.#init.builds.bytes)
  }

  /** Bytes that would be left to copy if the program stopped now. */
  leftBytes(): number {
    return this.session.leftBytes(this.#init.builds.bytes)
  }

  /** Of a program that stands still: what its state is like now. */
  rehearsal(usage: CellUsage): Material {
    return this.#state('rehearsal', usage, NO_PAGES)
  }

  /** Of a program that stands still: all that is left, the state last. */
  *last(usage: CellUsage): Generator<Material, void, void> {
    const { bytes } = this.#init.builds
    yield* this.session.ahead(bytes)
    yield this.#state('state', usage, this.session.lastPages(bytes))
  }

  /** The program is copied no more. */
  end(): void {
    this.#init.wasi.onWrite(undefined)
    this.#init.wasi.untrackContents()
  }

  #state(kind: 'rehearsal' | 'state', { busyMs, wallMs, fuel }: CellUsage, pages: PageSlice): Material {
    const { builds, compiled, wasi } = this.#init
    const state = wasi.state(kind === 'rehearsal' ? 'all' : this.#ledger)
    const parts = [builds.current.takeGlobals(), builds.current.takeFrames(), toCbor(state), pages.payload] as const
    const [globals, frames, encoded] = parts
    const header = {
      module: fromHex(compiled.moduleHash) ?? new Uint8Array(0),
      instrumenter: INSTRUMENTER_VERSION,
      layout: compiled.layoutHash,
      memoryPages: builds.bytes.map(({ length }) => length / WASM_PAGE_BYTES),
      globalsBytes: globals.length,
      framesBytes: frames.length,
      wasiBytes: encoded.length,
      runs: pages.runs,
      dataPages: pages.dataPages,
      usage: { busyMs, wallMs, fuel, stdoutBytes: state.stdoutBytes, stderrBytes: state.stderrBytes },
    }
    return { kind, header, payload: joined(parts) }
  }
}

/** In a buffer of its own, which can be handed to another thread. */
function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

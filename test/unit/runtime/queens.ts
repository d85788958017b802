// The sample `queens` as a program in this very thread, with a port that the test watches.
import { readFileSync } from 'node:fs'
import { instrument } from '../../../cells/instrument/instrument.ts'
import { CellStorage } from '../../../cells/runtime/cell-storage.ts'
import { Control } from '../../../cells/runtime/control.ts'
import { Program, type ProgramPort } from '../../../cells/runtime/program.ts'
import type { Clock } from '../../../core/clock.ts'
import { seededRandom } from '../../../core/random.ts'

export interface QueensInit {
  /** The program's arguments: how many queens, and how often. */
  readonly args: readonly string[]
  readonly share: number
  readonly clock: Clock
  readonly control?: Control
  readonly port?: Partial<ProgramPort>
}

export function queens(init: QueensInit): Program {
  const module = readFileSync(new URL('../../../cells/samples/wasm/queens.wasm', import.meta.url))
  const { bytes, moduleHash, layoutHash } = instrument(new Uint8Array(module), { memoryMaxPages: 64 })
  const control = init.control ?? new Control()
  return new Program({
    compiled: {
      module: new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>),
      moduleHash,
      layoutHash,
      build: 'movable',
      baselines: [],
    },
    start: {
      origin: { kind: 'launch', args: ['queens', ...init.args], env: {}, files: [], stdin: new Uint8Array(0) },
      limits: { memoryBytes: 1 << 22, wallMs: 1e9, fuel: 1e9, outputBytes: 1 << 16, diskBytes: 1 << 16 },
      share: init.share,
    },
    clock: init.clock,
    random: seededRandom(1),
    port: {
      control,
      takeMail: () => undefined,
      work: () => undefined,
      resumed: () => undefined,
      over: () => undefined,
      storage: new CellStorage(undefined),
      send: (_parts, bytes) => control.acknowledge(bytes),
      ...init.port,
    },
  })
}

// How fast cells run on this peer: six short kernels, run as cells, so that the share of fuel they get counts.
import { CodedError } from '../../core/errors.ts'
import { abortable } from '../../core/lifecycle.ts'
import type { CellErrorCode } from '../errors.ts'
import type { CellEngine, CellLimits } from '../types.ts'
import { KERNELS } from './kernels.ts'

/** `ms`: from the kernel's first instruction to its exit, throttling included, start of process and thread not. */
export interface Calibration {
  readonly name: string
  readonly ms: number
}

/** The kernels are the engine's own: they never share a process with a cell of anyone. */
const CALIBRATION_DOMAIN = 'calibration'

/** A kernel takes 50 ms; at the smallest useful share of 1 % it takes 5 s. */
const LIMITS: CellLimits = {
  memoryBytes: 4 << 20,
  wallMs: 60_000,
  fuel: Number.MAX_SAFE_INTEGER,
  outputBytes: 1024,
  diskBytes: 1024,
}

/** Runs the kernels one after the other: about 0.4 s of work at a share of 1. Rejects with the reason of `signal`. */
export async function calibrate(
  engine: CellEngine,
  init: { readonly signal?: AbortSignal } = {},
): Promise<Calibration[]> {
  const out: Calibration[] = []
  for (const { name, module } of KERNELS) {
    init.signal?.throwIfAborted()
    const program = { module, args: [name], env: {}, files: [], stdin: new Uint8Array(0), limits: LIMITS }
    const cell = await engine.launch(`calibrate-${name}`, CALIBRATION_DOMAIN, program, { onOutput: () => undefined })
    try {
      const exit = await abortable(cell.ended, init.signal)
      if (exit.kind !== 'exited') {
        const code: CellErrorCode = 'CELL_HOST_DIED'
        throw new CodedError(code, `the calibration kernel ${name} did not finish: ${exit.kind}; start the peer again`)
      }
      out.push({ name, ms: exit.usage.wallMs })
    } finally {
      await cell.kill()
    }
  }
  return out
}

// How fast cells run on this peer: six short kernels, run as cells, so that the share of fuel they get counts.
import { CodedError } from '../../core/errors.ts'
import { abortable } from '../../core/lifecycle.ts'
import type { CellErrorCode } from '../errors.ts'
import type { CellEngine, CellLimits } from '../types.ts'
import { KERNELS, type Kernel } from './kernels.ts'

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

/** The better of two: the first run of a kernel also pays for compiling it, and other work disturbs either. */
const ROUNDS = 2
/** Where one round takes this long, compiling is a small part of it, and a peer should not take twice as long to start. */
const ENOUGH_MS = 5_000

/** Runs the kernels one at a time: about 0.8 s of work at a share of 1. Rejects with the reason of `signal`. */
export async function calibrate(
  engine: CellEngine,
  init: { readonly signal?: AbortSignal } = {},
): Promise<Calibration[]> {
  const best = new Map<string, number>()
  let total = 0
  for (let round = 0; round < ROUNDS && total < ENOUGH_MS; round++) {
    for (const kernel of KERNELS) {
      const ms = await timed(engine, kernel, init.signal)
      total += ms
      best.set(kernel.name, Math.min(ms, best.get(kernel.name) ?? ms))
    }
  }
  return [...best].map(([name, ms]) => ({ name, ms }))
}

async function timed(engine: CellEngine, { name, module }: Kernel, signal: AbortSignal | undefined): Promise<number> {
  signal?.throwIfAborted()
  const program = { module, args: [name], env: {}, files: [], stdin: new Uint8Array(0), limits: LIMITS }
  const cell = await engine.launch(`calibrate-${name}`, CALIBRATION_DOMAIN, program, { onOutput: () => undefined })
  try {
    const exit = await abortable(cell.ended, signal)
    if (exit.kind === 'exited') return exit.usage.wallMs
    const code: CellErrorCode = 'CELL_HOST_DIED'
    throw new CodedError(code, `the calibration kernel ${name} did not finish: ${exit.kind}; start the peer again`)
  } finally {
    await cell.kill()
  }
}

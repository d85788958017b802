// From plain facts about a cell and a peer to the numbers the placement model sees. Every constant here is part of the
// model: all peers must build the same vector from the same facts, so any change is a new FEATURE_VERSION.

/** Names the order, count and scaling of the features; part of the model's shape hash. */
export const FEATURE_VERSION = 1

/** Opcode classes, in the order the cell engine counts them. More are ignored, missing ones count as absent. */
export const OPCODE_CLASSES = 24

/** Calibration kernels by name, in feature order. A peer that has not run one is treated as average there. */
export const CALIBRATION_KERNELS = ['integer', 'float', 'stream', 'calls', 'hash', 'branches'] as const

export interface CellFeatures {
  /** log1p of how often each opcode class occurs in the module's code; see {@link OPCODE_CLASSES}. Empty when unknown. */
  readonly opcodes: readonly number[]
  readonly moduleBytes: number
  /** Bytes of all input files and stdin. */
  readonly inputBytes: number
  readonly argCount: number
  /** Largest number among the arguments, 0 when there is none. */
  readonly maxArgument: number
}

export interface PeerFeatures {
  /** Kernel name -> milliseconds it took as a cell on this peer, so its share of fuel counts. */
  readonly calibrationMs: Readonly<Record<string, number>>
  readonly cores: number
  /** Cells running, this one not counted. */
  readonly running: number
  /** Cells that may run at once. */
  readonly slots: number
  /** Share of a core's fuel that cells get here, (0, 1]. */
  readonly fuelShare: number
}

/** Opcodes; module, input, argument count and size; calibration mean, deviations and missing share; cores, occupancy, fuel. */
export const FEATURE_COUNT = OPCODE_CLASSES + 4 + 2 + CALIBRATION_KERNELS.length + 3

/** A calibration kernel's time on the peer that all are compared with, milliseconds: the kernels are sized for it. */
const REFERENCE_KERNEL_MS = 50
/** What an unknown cell takes on that peer: middle of the log range of short tasks (20 ms to 4 s). */
const REFERENCE_RUN_MS = 300
/** No single feature may be further out than this, whatever a record or a module claims. */
const CLAMP = 4

/** How many times slower than the reference peer, as a natural logarithm; by the share of fuel alone when nothing else is known. */
function slowness(peer: PeerFeatures): {
  readonly mean: number
  readonly deviations: number[]
  readonly missing: number
} {
  const logs = CALIBRATION_KERNELS.map((name) => {
    const ms = Object.hasOwn(peer.calibrationMs, name) ? peer.calibrationMs[name] : undefined
    return ms !== undefined && Number.isFinite(ms) && ms > 0 ? Math.log(ms / REFERENCE_KERNEL_MS) : undefined
  })
  const known = logs.filter((value) => value !== undefined)
  const mean =
    known.length === 0 ? -Math.log(fuelShareOf(peer)) : known.reduce((sum, value) => sum + value, 0) / known.length
  return {
    mean: bounded(mean, 10),
    deviations: logs.map((value) => (value === undefined ? 0 : value - mean)),
    missing: 1 - known.length / CALIBRATION_KERNELS.length,
  }
}

/**
 * The estimate, ln(ms), that the network only corrects: the reference time, scaled by how slow the peer's kernels are. Where
 * nothing was learned yet, a slower peer is therefore already predicted to be slower.
 */
export function baseLnMs(peer: PeerFeatures): number {
  return Math.log(REFERENCE_RUN_MS) + slowness(peer).mean
}

/** The network's input, {@link FEATURE_COUNT} numbers of about unit size; never NaN, whatever the facts claim. */
export function featureVector(cell: CellFeatures, peer: PeerFeatures): Float32Array {
  const out = new Float32Array(FEATURE_COUNT)
  let at = 0
  const put = (value: number): void => {
    out[at++] = bounded(value, CLAMP)
  }
  // Classes that occur at all mostly count 50 to 50,000 (ln 4 to 11).
  for (let k = 0; k < OPCODE_CLASSES; k++) put(cell.opcodes.length === 0 ? 0 : (cell.opcodes[k] ?? 0) / 4 - 1.5)
  put((logOf(cell.moduleBytes) - 11) / 3)
  put((logOf(cell.inputBytes) - 7) / 5)
  put(cell.argCount / 4 - 1)
  put((logOf(cell.maxArgument) - 5) / 4)
  const { mean, deviations, missing } = slowness(peer)
  put(mean)
  // Kernels of one machine differ by tenths: scaled up to be heard beside the rest.
  for (const deviation of deviations) put(deviation * 2)
  put(missing)
  put(Math.log2(Math.max(peer.cores, 0.25)) / 2 - 0.5)
  put(peer.running / Math.max(peer.slots, 1))
  put(Math.log(fuelShareOf(peer)))
  return out
}

/** The two features that arguments give; numbers may carry a sign, a fraction or an exponent. */
export function argumentFeatures(args: readonly string[]): Pick<CellFeatures, 'argCount' | 'maxArgument'> {
  let maxArgument = 0
  for (const arg of args) {
    const value = /^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(arg) ? Number(arg) : 0
    if (Number.isFinite(value)) maxArgument = Math.max(maxArgument, value)
  }
  return { argCount: args.length, maxArgument }
}

function fuelShareOf(peer: PeerFeatures): number {
  return peer.fuelShare > 0 && peer.fuelShare <= 1 ? Math.max(peer.fuelShare, 1e-3) : 1
}

function logOf(value: number): number {
  return value > 0 ? Math.log1p(value) : 0
}

function bounded(value: number, limit: number): number {
  return Number.isNaN(value) ? 0 : Math.min(Math.max(value, -limit), limit)
}

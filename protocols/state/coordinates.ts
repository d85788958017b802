// Network coordinates: round trips between any two peers from what each has measured to a few. Pure.
//
// Vivaldi (Dabek et al., SIGCOMM 2004) with the refinements of Serf (`github.com/hashicorp/serf/coordinate`): a height for the way
// to the backbone, a median over the last samples of each peer, an adjustment for what a Euclidean space cannot hold (Ledlie et
// al., NSDI 2007), and a pull towards the origin so that the whole does not drift (the same). All times in milliseconds.

import type { Random } from '../../core/random.ts'

export const DIMENSIONS = 8

/** Where a peer is; two of these give the estimate of the round trip between them. */
export interface Coordinate {
  /** `DIMENSIONS` numbers. */
  readonly position: readonly number[]
  /** Added to every distance: the last mile, which no position expresses. */
  readonly height: number
  /** Half of what the estimates of this peer are wrong by on average, with its sign. */
  readonly adjustment: number
  /** Estimated relative error of distances from here, from 0 to `MAX_ERROR`. */
  readonly error: number
}

const MAX_ERROR = 1.5
/** A round trip is less than this, or is no measurement. */
const MAX_RTT_MS = 10_000
/** No coordinate that anybody believes in is further out, whatever a remote says. */
const MAX_COORDINATE_MS = 20_000

const MIN_MS = 0.01
const MIN_HEIGHT_MS = 0.01
/** How far one sample moves the error, and the position (the paper's c_e and c_c). */
const ERROR_GAIN = 0.25
const POSITION_GAIN = 0.25
const ADJUSTMENT_WINDOW = 20
const FILTER_SAMPLES = 3
/** A sample pulls back to the origin by the square of the distance over this (Serf's rho of 150). */
const GRAVITY_MS = 22_500_000
/** One sample moves a position or a height, or counts for the adjustment, by no more than this: a remote that lies cannot throw a peer out of the map. */
const MAX_STEP_MS = 100

const ORIGIN: Coordinate = {
  position: Array.from({ length: DIMENSIONS }, () => 0),
  height: MIN_HEIGHT_MS,
  adjustment: 0,
  error: MAX_ERROR,
}

/** Estimated round trip between two peers, milliseconds. */
export function estimateMs(a: Coordinate, b: Coordinate): number {
  const raw = rawMs(a, b)
  const adjusted = raw + a.adjustment + b.adjustment
  return adjusted > 0 ? adjusted : raw
}

/** A round trip that nobody measured. */
export interface RttEstimate {
  readonly ms: number
  /** By how much of itself it is wrong, by the account of the less certain of the two peers. */
  readonly error: number
}

/** A peer that is less certain of its place than this has none yet. */
const PLACED_ERROR = 1

/** Undefined as long as either is not yet placed. */
export function estimateBetween(a: Coordinate | undefined, b: Coordinate | undefined): RttEstimate | undefined {
  if (a === undefined || b === undefined) return undefined
  const error = Math.max(a.error, b.error)
  return error < PLACED_ERROR ? { ms: estimateMs(a, b), error } : undefined
}

/** Hundredths of a millisecond, and thousandths of the error: most are integers of three bytes in CBOR. */
const SCALE = 100
const ERROR_SCALE = 1_000
const NUMBERS = DIMENSIONS + 3
export const MAX_PACKED = MAX_COORDINATE_MS * SCALE

/** As it travels in a record. */
export function packed({ position, height, adjustment, error }: Coordinate): readonly number[] {
  return [...[...position, height, adjustment].map((ms) => Math.round(ms * SCALE)), Math.round(error * ERROR_SCALE)]
}

/** Undefined for what no peer would have packed. */
export function unpacked(numbers: readonly number[] | undefined): Coordinate | undefined {
  if (numbers?.length !== NUMBERS) return undefined
  const [height = 0, adjustment = 0] = numbers.slice(DIMENSIONS).map((part) => part / SCALE)
  const position = numbers.slice(0, DIMENSIONS).map((part) => part / SCALE)
  const coordinate = { position, height, adjustment, error: (numbers.at(-1) ?? 0) / ERROR_SCALE }
  return isUsable(coordinate) ? coordinate : undefined
}

/** What a peer keeps beside its coordinate. */
export interface CoordinateState {
  readonly coordinate: Coordinate
  /** The last samples of each peer, the newest last. */
  readonly samples: ReadonlyMap<string, readonly number[]>
  /** What the last estimates without adjustment were too short by. */
  readonly residuals: readonly number[]
}

export const UNPLACED: CoordinateState = { coordinate: ORIGIN, samples: new Map(), residuals: [] }

/** Whether `coordinate` can be used at all: a remote may have sent anything. */
export function isUsable({ position, height, adjustment, error }: Coordinate): boolean {
  const within = (value: number): boolean => Number.isFinite(value) && Math.abs(value) <= MAX_COORDINATE_MS
  const isPlace = position.length === DIMENSIONS && position.every(within)
  return isPlace && within(height) && height >= 0 && within(adjustment) && error >= 0 && error <= MAX_ERROR
}

/** After a round trip of `rttMs` to `peer`, which says that it is at `other`; unchanged when either makes no sense. */
export function measured(
  state: CoordinateState,
  peer: string,
  other: Coordinate,
  rttMs: number,
  random: Random,
): CoordinateState {
  if (!isUsable(other) || !(rttMs >= 0 && rttMs <= MAX_RTT_MS)) return state
  const last = [...(state.samples.get(peer) ?? []), rttMs].slice(-FILTER_SAMPLES)
  const samples = new Map(state.samples).set(peer, last)
  const rtt = Math.max(MIN_MS, middle(last))
  const pulled = gravity(spring(state.coordinate, other, rtt, random), random)
  const residuals = [...state.residuals, step(rtt - rawMs(pulled, other))].slice(-ADJUSTMENT_WINDOW)
  const adjustment = residuals.reduce((sum, one) => sum + one, 0) / (2 * ADJUSTMENT_WINDOW)
  const coordinate = { ...pulled, adjustment }
  return isUsable(coordinate) ? { coordinate, samples, residuals } : { ...state, samples }
}

/** Its samples are of no use any more. */
export function forgotten(state: CoordinateState, peer: string): CoordinateState {
  if (!state.samples.has(peer)) return state
  const samples = new Map(state.samples)
  samples.delete(peer)
  return { ...state, samples }
}

/** The spring between the two, which is `rtt` long at rest, moves this end by a part of what it is off. */
function spring(coordinate: Coordinate, other: Coordinate, rtt: number, random: Random): Coordinate {
  const distance = estimateMs(coordinate, other)
  const wrongness = Math.abs(distance - rtt) / rtt
  const weight = coordinate.error / Math.max(1e-6, coordinate.error + other.error)
  const error = wrongness * ERROR_GAIN * weight + coordinate.error * (1 - ERROR_GAIN * weight)
  const force = POSITION_GAIN * weight * (rtt - distance)
  return pushed({ ...coordinate, error: Math.min(MAX_ERROR, error) }, other, force, random)
}

function gravity(coordinate: Coordinate, random: Random): Coordinate {
  const distance = rawMs(ORIGIN, coordinate)
  return pushed(coordinate, ORIGIN, -(distance * distance) / GRAVITY_MS, random)
}

/** `force` milliseconds away from `other`, or as many as it may be; in a random direction when they are in the same place. */
function pushed(coordinate: Coordinate, other: Coordinate, force: number, random: Random): Coordinate {
  const by = step(force)
  const difference = coordinate.position.map((at, k) => at - (other.position[k] ?? 0))
  const length = Math.hypot(...difference)
  const direction = length > MIN_MS ? difference.map((part) => part / length) : anyDirection(random)
  const position = coordinate.position.map((at, k) => at + (direction[k] ?? 0) * by)
  if (length <= MIN_MS) return { ...coordinate, position }
  // Two that are next to each other on the map may be far from it.
  const rise = step(((coordinate.height + other.height) * by) / length)
  return { ...coordinate, position, height: Math.max(MIN_HEIGHT_MS, coordinate.height + rise) }
}

function step(ms: number): number {
  return Math.max(-MAX_STEP_MS, Math.min(MAX_STEP_MS, ms))
}

function anyDirection(random: Random): number[] {
  const parts = ORIGIN.position.map(() => random.next() - 0.5)
  const length = Math.hypot(...parts) || 1
  return parts.map((part) => part / length)
}

/** Without the adjustments. */
function rawMs(a: Coordinate, b: Coordinate): number {
  return Math.hypot(...a.position.map((at, k) => at - (b.position[k] ?? 0))) + a.height + b.height
}

function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0
}

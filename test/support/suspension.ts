// Runs a test command plainly, and suspended at polls into a new instance each time: both must leave the same.
import { expect } from 'vitest'
import { DIRTY_MAP_SHIFT } from '../../cells/instrument/abi.ts'
import { Suspendable } from '../../cells/instrument/driver.ts'
import { instrument, trackingBuild } from '../../cells/instrument/instrument.ts'
import { concat } from '../../core/bytes.ts'

export interface Outcome {
  /** What the program passed to the import `trace`. */
  readonly trace: readonly number[]
  /** All memories, one behind the other. */
  readonly memory: Uint8Array
  /** Message of a trap or of what an import threw; undefined when the program returned. */
  readonly failure: string | undefined
}

export interface HoppedOutcome extends Outcome {
  readonly hops: number
  readonly polls: number
}

type Imports = Record<string, (...args: never[]) => unknown>

export function runPlain(bytes: Uint8Array, imports: Imports = {}): Outcome {
  const trace: number[] = []
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), withTrace(trace, imports))
  let failure: string | undefined
  try {
    ;(instance.exports._start as () => void)()
  } catch (error) {
    failure = String(error)
  }
  const exported = Object.entries(instance.exports).sort(([a], [b]) => (a < b ? -1 : 1))
  const memories = exported.flatMap(([, one]) => (one instanceof WebAssembly.Memory ? [one] : []))
  return { trace, memory: bytesOf(memories), failure }
}

export interface HopInit {
  /** Polls that pass before each suspension, by its number. */
  readonly budget: (hop: number) => number
  readonly maxHops?: number
  readonly imports?: Imports
  /** Told the size of the call stack at every hop. */
  readonly onHop?: (frameBytes: number) => void
}

/** Suspends at the polls that `budget` says; memory, frames and globals go into a new instance. */
export function runHopped(bytes: Uint8Array, init: HopInit): HoppedOutcome {
  const module = new WebAssembly.Module(instrument(bytes, { memoryMaxPages: 64 }).bytes)
  const trace: number[] = []
  const maxHops = init.maxHops ?? 1000
  let hops = 0
  let polls = 0
  const fresh = (): Suspendable =>
    new Suspendable({
      module,
      imports: withTrace(trace, init.imports ?? {}),
      onPoll: () => (hops < maxHops ? 'unwind' : 'continue'),
      budget: hops < maxHops ? init.budget(hops) : 1_000_000,
    })
  let cell = fresh()
  let failure: string | undefined
  try {
    let outcome = cell.run()
    while (outcome === 'suspended') {
      hops++
      polls += cell.pollsPassed
      init.onHop?.(cell.takeFrames().length)
      cell = moved(cell, fresh())
      outcome = cell.rewind()
    }
  } catch (error) {
    failure = String(error)
  }
  polls += cell.pollsPassed
  return { trace, memory: bytesOf(cell.memories), failure, hops, polls }
}

export interface SwitchInit {
  /** Polls that pass before each suspension, by its number. */
  readonly budget: (stop: number) => number
  /** Whether the program goes on in the tracking build after that suspension. */
  readonly tracks: (stop: number) => boolean
  readonly maxStops: number
}

/**
 * Suspends at polls, and goes on in either build on the same memory. Throws when a page changed in the tracking build
 * that its map does not name.
 */
export function runSwitched(bytes: Uint8Array, init: SwitchInit): HoppedOutcome {
  const cap = { memoryMaxPages: 64 }
  const trace: number[] = []
  let stops = 0
  const build = (module: Uint8Array, sharesWith?: Suspendable): Suspendable =>
    new Suspendable({
      module: new WebAssembly.Module(module),
      imports: withTrace(trace, {}),
      onPoll: () => (stops < init.maxStops ? 'unwind' : 'continue'),
      budget: init.budget(0),
      ...(sharesWith === undefined ? {} : { sharesWith }),
    })
  const fast = build(instrument(bytes, cap).bytes)
  let tracking: Suspendable | undefined
  let current = fast
  /** Each memory as it was, but for the pages that were noted since. */
  let shadows: Uint8Array[] = []
  const memories = (): Uint8Array[] => fast.memories.map(({ buffer }) => new Uint8Array(buffer))
  const copyNoted = (maps: Uint8Array): void => {
    shadows = memories().map((now, index) => {
      const map = maps.subarray(index << DIRTY_MAP_SHIFT)
      const grown = new Uint8Array(now.length)
      grown.set(shadows[index] ?? grown)
      for (let at = 0; at < now.length; at += 4096) if (map[at / 4096] !== 0) grown.set(now.subarray(at, at + 4096), at)
      expect(Buffer.compare(grown, now), 'a page was written and not noted').toBe(0)
      return grown
    })
    maps.fill(0)
  }
  let failure: string | undefined
  try {
    let outcome = current.run()
    while (outcome === 'suspended') {
      stops++
      if (current === tracking) copyNoted(tracking.dirtyMap)
      const next = init.tracks(stops) ? (tracking ??= build(trackingBuild(bytes, cap), fast)) : fast
      if (next !== current) {
        next.takeOver(current)
        if (next === tracking) {
          shadows = memories().map((memory) => memory.slice())
          tracking.dirtyMap.fill(0)
        }
        current = next
      }
      current.budget = init.budget(stops)
      if (stops % 3 === 0) current.rehearse()
      outcome = current.rewind()
    }
    if (current === tracking) copyNoted(tracking.dirtyMap)
  } catch (error) {
    failure = String(error)
  }
  const polls = fast.pollsPassed + (tracking?.pollsPassed ?? 0)
  return { trace, memory: concat(memories()), failure, hops: stops, polls }
}

function bytesOf(memories: readonly WebAssembly.Memory[]): Uint8Array {
  return concat(memories.map(({ buffer }) => new Uint8Array(buffer)))
}

/** The state of `from` in `to`, a fresh instance. */
export function moved(from: Suspendable, to: Suspendable): Suspendable {
  for (const [index, memory] of to.memories.entries()) {
    const source = new Uint8Array(from.memories[index]?.buffer ?? new ArrayBuffer(0))
    const missing = source.length - memory.buffer.byteLength
    if (missing > 0) memory.grow(missing / 65536)
    new Uint8Array(memory.buffer).set(source)
  }
  to.putGlobals(from.takeGlobals())
  to.putFrames(from.takeFrames())
  return to
}

function withTrace(trace: number[], imports: Imports): WebAssembly.Imports {
  return { wasi_snapshot_preview1: { trace: (value: number) => void trace.push(value), ...imports } }
}

/** The program runs the same alone, and moved at every k-th poll. */
export function expectSame(bytes: Uint8Array): void {
  const plain = runPlain(bytes)
  expect(plain.failure).toBeUndefined()
  expect(plain.trace.length).toBeGreaterThan(0)
  const still = runHopped(bytes, { budget: () => 1_000_000, maxHops: 0 })
  expect(still.trace).toEqual(plain.trace)
  expect(still.polls).toBeGreaterThan(2)
  for (const every of [0, 1, 2, 3, 6]) {
    const hopped = runHopped(bytes, { budget: () => every })
    expect(hopped.failure).toBeUndefined()
    expect(hopped.trace, `at every ${every + 1}. poll`).toEqual(plain.trace)
    expect(Buffer.compare(hopped.memory, plain.memory)).toBe(0)
    expect(hopped.hops).toBe(Math.floor(still.polls / (every + 1)))
    expect(hopped.polls).toBe(still.polls)
  }
  const switched = runSwitched(bytes, { budget: () => 1, tracks: (stop) => stop % 2 === 0, maxStops: 1000 })
  expect(switched.failure).toBeUndefined()
  expect(switched.trace).toEqual(plain.trace)
}

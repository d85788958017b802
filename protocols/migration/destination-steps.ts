// The forms a step of the destination's machine takes.
import type { DestinationEffect, DestinationState, DestinationStep } from './destination-events.ts'
import type { ToSource } from './messages.ts'

/** A message to the source. */
export function say(message: ToSource): DestinationEffect {
  return { kind: 'send', message }
}

/** Pause before try `tries + 1`, milliseconds. */
export function backoff(state: DestinationState, tries: number): number {
  return Math.min(state.deadlines.retryMaxMs, state.deadlines.retryMs * 2 ** Math.min(tries - 1, 20))
}

/** The event is of no concern here. */
export function stay(state: DestinationState): DestinationStep {
  return { state, effects: [] }
}

/** A change within a phase: the timer goes on. */
export function to0(
  state: DestinationState,
  next: Partial<DestinationState>,
  ...effects: DestinationEffect[]
): DestinationStep {
  return { state: { ...state, ...next }, effects }
}

/** Any step forward disarms the timer before it. */
export function to(
  state: DestinationState,
  next: Partial<DestinationState>,
  ...effects: DestinationEffect[]
): DestinationStep {
  return { state: { ...state, serial: state.serial + 1, ...next }, effects }
}

/** A step forward with a timer of its own. */
export function armed(
  state: DestinationState,
  next: Partial<DestinationState>,
  afterMs: number,
  ...effects: DestinationEffect[]
): DestinationStep {
  const serial = state.serial + 1
  return { state: { ...state, ...next, serial }, effects: [...effects, { kind: 'arm', serial, afterMs }] }
}

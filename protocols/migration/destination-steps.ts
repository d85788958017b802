// The forms a step of the destination's machine takes, and the ways out of a move.
import type { DestinationEffect, DestinationEvent, DestinationState, DestinationStep } from './destination-events.ts'
import { beginReceipt } from './image.ts'
import { cutReason, type ToSource } from './messages.ts'

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

/** Deadlines, messages out of place, and the source's word that it is over end a move; anything else is of no concern here. */
export function trouble(
  state: DestinationState,
  event: DestinationEvent,
  onTimeout: string,
  end: (state: DestinationState, reason: string) => DestinationStep,
): DestinationStep {
  if (event.kind === 'timeout') return end(state, onTimeout)
  // Nothing in its journal makes the source ask: nothing has to be remembered.
  if (event.kind === 'settled') return giveUp(state, 'the source gave the move up')
  if (event.kind !== 'message') return stay(state)
  return end(state, `the message '${event.message.kind}' does not belong here`)
}

/** Before `ready` was said: nothing was promised, so nothing has to be remembered. */
export function giveUp(state: DestinationState, reason: string): DestinationStep {
  const end = [{ kind: 'unload' }, { kind: 'drop-image' }, { kind: 'clean' }, ...farewell(state, reason)] as const
  return to(state, { phase: 'gone', receipt: beginReceipt(), reason }, ...end)
}

/** After `ready`: the refusal must be durable before anybody hears of it, and before the image goes. */
export function refusing(state: DestinationState, reason: string): DestinationStep {
  const next = { phase: 'refusing', receipt: beginReceipt(), reason, tries: 0 } as const
  return to(state, next, { kind: 'store', phase: 'refused', root: state.root })
}

export function farewell(state: DestinationState, reason: string): readonly DestinationEffect[] {
  return state.streamOpen ? [say({ kind: 'refuse', reason: cutReason(reason) }), { kind: 'close-stream' }] : []
}

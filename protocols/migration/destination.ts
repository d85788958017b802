// The destination's side of one move, pure: no stream, no timer, no promise. It promises two things: nothing that it says
// (`received`, `running`, `never`) is said before it is durable, and once it owns the cell it never gives up starting it.
import type { DestinationEffect, DestinationEvent, DestinationState, DestinationStep } from './destination-events.ts'
import { finishing, receiving } from './destination-receipt.ts'
import { armed, backoff, farewell, giveUp, refusing, say, stay, to, to0, trouble } from './destination-steps.ts'
import { beginReceipt } from './image.ts'
import type { ToDestination } from './messages.ts'
import { cutReason } from './messages.ts'
import type { DestinationRecord } from './records.ts'
import type { Deadlines, MoveOffer } from './types.ts'

export interface DestinationLimits {
  readonly deadlines: Deadlines
  readonly maxImageBytes: number
}

export function newDestination(offer: MoveOffer, limits: DestinationLimits): DestinationState {
  const flags = { streamOpen: true, finished: false, committed: false, settled: false }
  const counts = { serial: 0, rounds: 0, applied: 0, tries: 0 }
  return { phase: 'preparing', offer, ...limits, receipt: beginReceipt(), root: '', questions: [], ...counts, ...flags }
}

/**
 * The state and first effects of a record found in the journal: the one place that says what a restart may do.
 * `movingOn`: a journalled move away from here has the say over this cell, so that it must not be activated for an earlier one.
 */
export function recoverDestination(
  record: DestinationRecord,
  limits: DestinationLimits,
  movingOn: boolean,
): DestinationStep {
  const state = { ...newDestination(record.offer, limits), streamOpen: false, root: record.root }
  switch (record.phase) {
    case 'arriving':
      // Its stream died with the last run, so no hand-over can come any more.
      return refusing(state, 'the destination was restarted before the hand-over')
    case 'owned':
      return movingOn ? to(state, { phase: 'active' }) : to(state, { phase: 'activating' }, { kind: 'activate' })
    case 'active':
    case 'refused':
    case 'left':
      return to(state, { phase: record.phase })
  }
}

export function stepDestination(state: DestinationState, event: DestinationEvent): DestinationStep {
  if (event.kind === 'timeout' && event.serial !== state.serial) return stay(state)
  if (event.kind === 'ask') return asked(state, event.id)
  if (event.kind === 'stream-lost') return lost({ ...state, streamOpen: false }, event)
  switch (state.phase) {
    case 'preparing':
      return preparing(state, event)
    case 'announcing':
      return announcing(state, event)
    case 'receiving':
      return receiving(state, event)
    case 'finishing':
      return finishing(state, event)
    case 'received':
      return received(state, event)
    case 'owning':
      return owning(state, event)
    case 'activating':
      return activating(state, event)
    case 'active':
      return active(state, event)
    case 'leaving':
      return leaving(state, event)
    case 'left':
      return event.kind === 'settled' ? to(state, { phase: 'gone' }, { kind: 'clean' }) : settledOr(state, event)
    case 'refusing':
      return beingRefused(state, event)
    case 'refused':
      return refused(state, event)
    case 'gone':
      return stay(state)
  }
}

function asked(state: DestinationState, id: number): DestinationStep {
  switch (state.phase) {
    case 'activating':
    case 'active':
    case 'leaving':
    case 'left':
      return to0(state, {}, { kind: 'answer', id, answer: 'owned' })
    case 'refused':
      return to0(state, {}, { kind: 'answer', id, answer: 'never' })
    case 'receiving':
    case 'finishing':
    case 'received':
      return refusing({ ...state, questions: [id] }, 'the source asked instead of handing over')
    case 'refusing':
      return to0(state, { questions: [...state.questions, id] })
    case 'owning':
      return to0(state, {}, { kind: 'answer', id, answer: 'pending' })
    default:
      // Before `ready` was ever said, no source has committed: whoever asks knows more than this peer.
      return to0(state, {}, { kind: 'answer', id, answer: 'unknown' })
  }
}

function lost(state: DestinationState, event: { readonly reason: string }): DestinationStep {
  switch (state.phase) {
    case 'preparing':
    case 'announcing':
      return giveUp(state, event.reason)
    case 'receiving':
    case 'finishing':
    case 'received':
      return refusing(state, event.reason)
    default:
      return stay(state)
  }
}

function preparing(state: DestinationState, event: DestinationEvent): DestinationStep {
  if (event.kind === 'begin') return armed(state, {}, state.deadlines.prepareMs, { kind: 'prepare' })
  if (event.kind === 'prepared') {
    const maxImageBytes = Math.min(state.maxImageBytes, event.maxImageBytes)
    return to(state, { phase: 'announcing', maxImageBytes }, { kind: 'store', phase: 'arriving', root: '' })
  }
  if (event.kind === 'prepare-failed') return giveUp(state, event.reason)
  return trouble(state, event, 'the module was not ready in time', giveUp)
}

/** From `ready` on the source may commit, so that this peer must know of the move whatever happens to it. */
function announcing(state: DestinationState, event: DestinationEvent): DestinationStep {
  if (event.kind === 'stored') {
    const ready = say({ kind: 'ready', maxImageBytes: state.maxImageBytes })
    return armed(state, { phase: 'receiving' }, state.deadlines.roundMs, ready)
  }
  if (event.kind === 'store-failed') return giveUp(state, `the move could not be recorded: ${event.reason}`)
  return trouble(state, event, '', giveUp)
}

function received(state: DestinationState, event: DestinationEvent): DestinationStep {
  if (event.kind === 'message' && event.message.kind === 'hand-over' && matches(event.message, state))
    return to(state, { phase: 'owning' }, { kind: 'store', phase: 'owned', root: state.root })
  return trouble(state, event, 'no hand-over came in time', refusing)
}

function matches(message: Extract<ToDestination, { kind: 'hand-over' }>, state: DestinationState): boolean {
  const { cell, attempt, epoch } = state.offer
  return message.cell === cell && message.attempt === attempt && message.epoch === epoch && message.root === state.root
}

function owning(state: DestinationState, event: DestinationEvent): DestinationStep {
  if (event.kind === 'stored') return to(state, { phase: 'activating', tries: 0 }, { kind: 'activate' })
  // Not written, so not owned, and nobody was told: make sure that it stays so, whatever part of the write survived.
  if (event.kind === 'store-failed') return refusing(state, `the hand-over could not be recorded: ${event.reason}`)
  return stay(state)
}

function activating(state: DestinationState, event: DestinationEvent): DestinationStep {
  if (event.kind === 'timeout') return to(state, {}, { kind: 'activate' })
  if (event.kind === 'activate-failed') {
    const tries = state.tries + 1
    const reason = cutReason(event.reason)
    const tell = tries === 1 ? [say({ kind: 'owned', epoch: state.offer.epoch, reason })] : []
    return armed(state, { tries }, backoff(state, tries), ...tell)
  }
  if (event.kind === 'left') return active(state, event)
  if (event.kind !== 'activated') return settledOr(state, event)
  const { hostStartedAt } = event
  const since = hostStartedAt === undefined ? {} : { hostStartedAt }
  const running = say({ kind: 'running', epoch: state.offer.epoch, ...since })
  // `running` rests on `owned`, which is durable; `active` only spares the next start a second activation.
  return to(state, { phase: 'active', tries: 0 }, ...(state.tries === 0 ? [running] : []), storeActive(state))
}

function storeActive(state: DestinationState): DestinationEffect {
  return { kind: 'store', phase: 'active', root: state.root }
}

function active(state: DestinationState, event: DestinationEvent): DestinationStep {
  if (event.kind === 'left') return leave({ ...state, tries: 0 })
  // No start activates it any more: half a gigabyte that nobody will read need not stay as long as the cell runs.
  if (event.kind === 'stored' && event.phase === 'active') return to0(state, {}, { kind: 'drop-image' })
  if (event.kind === 'timeout') return to(state, {}, storeActive(state))
  if (event.kind === 'store-failed' && event.phase === 'active') {
    const tries = state.tries + 1
    return armed(state, { tries }, backoff(state, tries))
  }
  return settledOr(state, event)
}

/** A record that says `owned` would bring the cell to life again: `left` must be durable, also when the source is satisfied. */
function leave(state: DestinationState): DestinationStep {
  return to(state, { phase: 'leaving' }, { kind: 'store', phase: 'left', root: '' })
}

function leaving(state: DestinationState, event: DestinationEvent): DestinationStep {
  if (event.kind === 'timeout' || event.kind === 'left') return leave(state)
  // The end of an earlier write, of `active`, says nothing.
  const written = (event.kind === 'stored' || event.kind === 'store-failed') && event.phase === 'left'
  if (!written) return settledOr(state, event)
  if (event.kind === 'store-failed') {
    const tries = state.tries + 1
    return armed(state, { tries }, backoff(state, tries))
  }
  if (!state.settled) return to(state, { phase: 'left' }, { kind: 'drop-image' })
  return to(state, { phase: 'gone' }, { kind: 'drop-image' }, { kind: 'clean' })
}

function settledOr(state: DestinationState, event: DestinationEvent): DestinationStep {
  const settled = event.kind === 'settled' || (event.kind === 'message' && event.message.kind === 'settled')
  return settled ? to0(state, { settled: true }, { kind: 'close-stream' }) : stay(state)
}

function beingRefused(state: DestinationState, event: DestinationEvent): DestinationStep {
  if (event.kind === 'timeout') return to(state, {}, { kind: 'store', phase: 'refused', root: state.root })
  if (event.kind === 'stored') {
    const answers = state.questions.map((id) => ({ kind: 'answer', id, answer: 'never' }) as const)
    const end = [{ kind: 'drop-image' }, { kind: 'unload' }, ...farewell(state, state.reason ?? 'refused')] as const
    const next = { phase: 'refused', questions: [] } as const
    return state.settled
      ? to(state, { ...next, phase: 'gone' }, ...answers, ...end, { kind: 'clean' })
      : to(state, next, ...answers, ...end)
  }
  if (event.kind === 'settled') return to0(state, { settled: true })
  if (event.kind !== 'store-failed') return stay(state)
  const answers = state.questions.map((id) => ({ kind: 'answer', id, answer: 'pending' }) as const)
  const tries = state.tries + 1
  return armed(state, { tries, questions: [] }, backoff(state, tries), ...answers)
}

function refused(state: DestinationState, event: DestinationEvent): DestinationStep {
  return event.kind === 'settled' ? to(state, { phase: 'gone' }, { kind: 'clean' }) : stay(state)
}

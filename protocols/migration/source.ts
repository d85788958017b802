// The source's side of one move, pure: no stream, no timer, no promise. The table of what is durable before what is sent
// stands in docs/decisions/0002. Whoever performs the effects must carry out `seal`, `store` and `clean` in the order given.
import type { ToSource } from './messages.ts'
import { QUESTIONS_BEFORE_DOUBT, SLOWEST_BYTES_PER_MS, TRIES_BEFORE_STUCK } from './protocol.ts'
import type { SourceRecord } from './records.ts'
import { copying, stopping } from './source-copy.ts'
import type { SourceEvent, SourceLimits, SourceState, SourceStep } from './source-events.ts'
import { armed, backoff, decide, giveBack, neverStopped, outcomeOf, stay, to, trouble } from './source-steps.ts'

export function newSource(cell: string, attempt: string, epoch: number, limits: SourceLimits): SourceState {
  const copy = { rounds: [], applied: false, committed: false, mayHaveCommitted: false } as const
  const fresh = { serial: 0, resumeEpoch: epoch, tries: 0, told: false, byDestination: false }
  return { phase: 'preparing', cell, attempt, epoch, ...limits, decision: 'resuming', ...copy, ...fresh }
}

/** The state and first effects of a move found in the journal: the one place that says what a restart may do. */
export function recoverSource(record: SourceRecord, limits: SourceLimits): SourceStep {
  const state: SourceState = {
    ...newSource(record.cell, record.attempt, record.epoch, limits),
    committed: true,
    mayHaveCommitted: record.phase === 'committed',
    sentRoot: record.root,
    resumeEpoch: record.resumeEpoch ?? record.epoch,
    reason: 'this peer was restarted during the move',
  }
  switch (record.phase) {
    case 'resuming':
      return to(state, { phase: 'resuming' }, { kind: 'resume', epoch: state.resumeEpoch })
    case 'committed':
      return to(state, { phase: 'in-doubt' }, { kind: 'ask' })
    case 'moved':
    case 'dropped':
      return to(state, { phase: 'discarding', decision: record.phase }, { kind: 'discard', fate: record.phase })
  }
}

export function stepSource(before: SourceState, event: SourceEvent): SourceStep {
  if (event.kind === 'timeout' && event.serial !== before.serial) return stay(before)
  const state = isByDestination(before, event) ? { ...before, byDestination: true } : before
  switch (state.phase) {
    case 'preparing':
      return preparing(state, event)
    case 'copying':
      return copying(state, event)
    case 'stopping':
      return stopping(state, event)
    case 'sending':
      return sending(state, event)
    case 'handed-over':
      return handedOver(state, event)
    case 'in-doubt':
      return inDoubt(state, event)
    case 'deciding':
      return deciding(state, event)
    case 'resuming':
      return resuming(state, event)
    case 'discarding':
      return discarding(state, event)
    case 'done':
      return stay(state)
  }
}

/** Whether the event ends the move, and the cell and this peer have no part in that. */
function isByDestination({ phase, reason }: SourceState, event: SourceEvent): boolean {
  const isUndecided = phase === 'preparing' || phase === 'copying' || phase === 'stopping' || phase === 'sending'
  if (!isUndecided || reason !== undefined) return false
  if (event.kind === 'timeout') return phase === 'preparing' || phase === 'sending'
  return event.kind === 'stream-lost' || (event.kind === 'message' && event.message.kind === 'refuse')
}

function preparing(state: SourceState, event: SourceEvent): SourceStep {
  if (event.kind === 'begin') return armed(state, {}, state.deadlines.prepareMs, { kind: 'prepare' })
  if (event.kind === 'message' && event.message.kind === 'ready') {
    const maxBytes = Math.min(state.stopRule.maxBytes, event.message.maxImageBytes)
    const next = { phase: 'copying', stopRule: { ...state.stopRule, maxBytes } } as const
    return armed(state, next, state.deadlines.pollMs, { kind: 'copy' })
  }
  const reason = trouble(event, 'the destination did not get ready in time')
  return reason === undefined ? stay(state) : neverStopped(state, reason)
}

function sending(state: SourceState, event: SourceEvent): SourceStep {
  if (event.kind === 'sealed') return sealed({ ...state, sentRoot: event.root }, event.bytes)
  if (event.kind === 'committed') return perhapsHandOver({ ...state, committed: true })
  if (event.kind === 'commit-failed') return giveBack(state, `the move was not committed: ${event.reason}`)
  if (event.kind === 'message' && event.message.kind === 'received' && state.receivedRoot === undefined)
    return perhapsHandOver({ ...state, receivedRoot: event.message.root })
  const reason = trouble(event, 'the last parts of the cell were not received in time')
  return reason === undefined ? stay(state) : giveBack(state, reason)
}

/** A destination that says nothing keeps the cell standing still no longer than what is left takes on a slow link. */
function sealed(state: SourceState, bytes: number): SourceStep {
  if (state.receivedRoot !== undefined) return perhapsHandOver(state)
  return armed(state, {}, state.deadlines.lastMs + bytes / SLOWEST_BYTES_PER_MS)
}

function perhapsHandOver(state: SourceState): SourceStep {
  const { sentRoot, receivedRoot, committed, cell, attempt } = state
  if (sentRoot === undefined || receivedRoot === undefined) return stay(state)
  if (sentRoot !== receivedRoot) return giveBack(state, 'the destination received something else than was sent')
  if (!committed) return stay(state)
  const message = { kind: 'hand-over', cell, attempt, epoch: state.epoch + 1, root: sentRoot } as const
  return armed(state, { phase: 'handed-over' }, state.deadlines.handOverMs, { kind: 'send', message })
}

function handedOver(state: SourceState, event: SourceEvent): SourceStep {
  if (event.kind === 'message' && owns(event.message, state)) {
    const why = event.message.kind === 'owned' ? { reason: event.message.reason } : {}
    return decide({ ...state, ...why }, 'moved', state.epoch + 1)
  }
  if (event.kind === 'cancel') return stay(state)
  const reason = trouble(event, 'the hand-over was not answered in time')
  if (reason === undefined) return stay(state)
  return to(state, { phase: 'in-doubt', reason, tries: 0 }, { kind: 'close-stream', reason }, { kind: 'ask' })
}

function owns(message: ToSource, state: SourceState): boolean {
  return (message.kind === 'running' || message.kind === 'owned') && message.epoch === state.epoch + 1
}

function inDoubt(state: SourceState, event: SourceEvent): SourceStep {
  if (event.kind === 'timeout') return to(state, {}, { kind: 'ask' })
  if (event.kind === 'decide') {
    const reason = 'its owner decided'
    if (event.decision === 'resume') return decide({ ...state, reason }, 'resuming', state.epoch + 2)
    return decide({ ...state, reason }, 'dropped', state.epoch + 1)
  }
  if (event.kind !== 'answer') return stay(state)
  if (event.answer === 'owned') return decide(state, 'moved', state.epoch + 1)
  if (event.answer === 'never') return decide(state, 'resuming', state.epoch + 2)
  const reason =
    event.answer === 'unknown' ? 'the destination has no record of the move' : (event.reason ?? 'no decision yet')
  const tries = state.tries + 1
  const tell = !state.told && (event.answer === 'unknown' || tries >= QUESTIONS_BEFORE_DOUBT)
  const outcome = { kind: 'outcome', outcome: 'in-doubt', epoch: state.epoch + 1, reason } as const
  const { askMs, askMaxMs } = state.deadlines
  const next = { reason, tries, told: state.told || tell }
  return armed(state, next, backoff(askMs, askMaxMs, tries), ...(tell ? [outcome] : []))
}

function deciding(state: SourceState, event: SourceEvent): SourceStep {
  if (event.kind !== 'stored' && event.kind !== 'store-failed') return stay(state)
  if (state.decision !== 'resuming') {
    // A journal that cannot be written any more still says `committed`: after a restart the question is asked again, and
    // as the destination is not told that the move is settled, it will answer the same.
    const [mayHaveCommitted, fate] = [event.kind === 'store-failed', state.decision]
    return to(state, { phase: 'discarding', mayHaveCommitted, tries: 0 }, { kind: 'discard', fate })
  }
  if (event.kind === 'store-failed' && state.resumeEpoch !== state.epoch) {
    const reason = `the decision could not be written here: ${event.reason}`
    const { askMs, askMaxMs } = state.deadlines
    const next = { phase: 'in-doubt', reason, tries: state.tries + 1, told: true } as const
    // Also when it was said before: an owner who decided hears that it did not work.
    const outcome = { kind: 'outcome', outcome: 'in-doubt', epoch: state.epoch + 1, reason } as const
    return armed(state, next, backoff(askMs, askMaxMs, next.tries), outcome)
  }
  // Nothing was handed over where it goes on under its old epoch: it may, whatever the journal says of it.
  const mayHaveCommitted = event.kind === 'store-failed'
  return to(state, { phase: 'resuming', mayHaveCommitted, tries: 0 }, { kind: 'resume', epoch: state.resumeEpoch })
}

function resuming(state: SourceState, event: SourceEvent): SourceStep {
  if (event.kind === 'timeout') return to(state, {}, { kind: 'resume', epoch: state.resumeEpoch })
  if (event.kind === 'resume-failed') {
    const tries = state.tries + 1
    const tell = !state.told && tries >= TRIES_BEFORE_STUCK
    const { retryMs, retryMaxMs } = state.deadlines
    const outcome = { kind: 'outcome', outcome: 'stuck', epoch: state.resumeEpoch, reason: event.reason } as const
    const next = { tries, told: state.told || tell }
    return armed(state, next, backoff(retryMs, retryMaxMs, tries), ...(tell ? [outcome] : []))
  }
  if (event.kind !== 'resumed') return stay(state)
  const settle = state.mayHaveCommitted ? [] : [{ kind: 'settle' } as const]
  return to(
    state,
    { phase: 'done', told: true },
    { kind: 'clean' },
    ...settle,
    outcomeOf(state, 'resumed', state.resumeEpoch),
  )
}

function discarding(state: SourceState, event: SourceEvent): SourceStep {
  const fate = state.decision === 'dropped' ? 'dropped' : 'moved'
  if (event.kind === 'timeout') return to(state, {}, { kind: 'discard', fate })
  if (event.kind !== 'discarded' && event.kind !== 'discard-failed') return stay(state)
  const tries = state.tries + 1
  const outcome = tries === 1 ? [outcomeOf(state, fate, state.epoch + 1)] : []
  if (event.kind === 'discard-failed') {
    // The record stays until the copy here is gone for good; a restart finds it too.
    const { retryMs, retryMaxMs } = state.deadlines
    const next = { tries, told: true }
    return armed(state, next, backoff(retryMs, retryMaxMs, tries), { kind: 'close-stream' }, ...outcome)
  }
  const settle = state.mayHaveCommitted ? [] : [{ kind: 'settle' } as const]
  return to(state, { phase: 'done', told: true }, ...settle, { kind: 'clean' }, { kind: 'close-stream' }, ...outcome)
}

// The source's side of one move, pure: no stream, no timer, no promise. The table of what is durable before what is sent
// stands in docs/decisions/0002. Whoever performs the effects must carry out `store`, `keep` and `clean` in the order given.
import type { ToSource } from './messages.ts'
import { QUESTIONS_BEFORE_DOUBT, TRIES_BEFORE_STUCK } from './protocol.ts'
import type { SourceRecord } from './records.ts'
import type { SourceEffect, SourceEvent, SourceState, SourceStep } from './source-events.ts'
import type { Deadlines, MigrationResult } from './types.ts'

export function newSource(cell: string, attempt: string, epoch: number, deadlines: Deadlines): SourceState {
  const fresh = { serial: 0, kept: false, resumeEpoch: epoch, decided: false, tries: 0, told: false }
  return { phase: 'preparing', cell, attempt, epoch, deadlines, decision: 'resuming', ...fresh }
}

/** The state and first effects of a move found in the journal: the one place that says what a restart may do. */
export function recoverSource(record: SourceRecord, deadlines: Deadlines): SourceStep {
  const state: SourceState = {
    ...newSource(record.cell, record.attempt, record.epoch, deadlines),
    kept: true,
    decided: true,
    sentRoot: record.root,
    resumeEpoch: record.resumeEpoch ?? record.epoch,
    reason: 'this peer was restarted during the move',
  }
  switch (record.phase) {
    case 'kept':
    case 'resuming':
      return to(state, { phase: 'resuming' }, { kind: 'resume', epoch: state.resumeEpoch })
    case 'committed':
      return to(state, { phase: 'in-doubt' }, { kind: 'ask' })
    case 'moved':
    case 'dropped':
      return to(state, { phase: 'discarding', decision: record.phase }, { kind: 'discard', fate: record.phase })
  }
}

export function stepSource(state: SourceState, event: SourceEvent): SourceStep {
  if (event.kind === 'timeout' && event.serial !== state.serial) return stay(state)
  switch (state.phase) {
    case 'preparing':
      return preparing(state, event)
    case 'suspending':
      return suspending(state, event)
    case 'sending':
      return sending(state, event)
    case 'committing':
      return committing(state, event)
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

function preparing(state: SourceState, event: SourceEvent): SourceStep {
  if (event.kind === 'begin') return armed(state, {}, state.deadlines.prepareMs, { kind: 'prepare' })
  if (event.kind === 'message' && event.message.kind === 'ready')
    return armed(state, { phase: 'suspending' }, state.deadlines.suspendMs, { kind: 'suspend' })
  const reason = trouble(event, 'the destination did not get ready in time')
  return reason === undefined ? stay(state) : neverStopped(state, reason)
}

function suspending(state: SourceState, event: SourceEvent): SourceStep {
  if (event.kind === 'suspend-failed') return neverStopped(state, state.reason ?? event.reason)
  if (event.kind === 'suspended') {
    if (state.reason !== undefined) return giveBack(state, state.reason)
    return armed(state, { phase: 'sending' }, state.deadlines.transferMs, { kind: 'keep' }, { kind: 'send-image' })
  }
  const reason = trouble(event, 'the cell reached no point at which it can be stopped')
  if (reason === undefined || state.reason !== undefined) return stay(state)
  // The engine may be just about to stop it: only when `suspend` has settled is it known whether a resume is due.
  return to(state, { reason }, { kind: 'stop-suspending' })
}

function sending(state: SourceState, event: SourceEvent): SourceStep {
  if (event.kind === 'image-sent') return perhapsCommit({ ...state, sentRoot: event.root })
  if (event.kind === 'kept') return perhapsCommit({ ...state, kept: true })
  if (event.kind === 'keep-failed') return giveBack(state, `the snapshot could not be written here: ${event.reason}`)
  if (event.kind === 'message' && event.message.kind === 'received' && state.receivedRoot === undefined)
    return perhapsCommit({ ...state, receivedRoot: event.message.root })
  const reason = trouble(event, 'the snapshot was not received in time')
  return reason === undefined ? stay(state) : giveBack(state, reason)
}

function perhapsCommit(state: SourceState): SourceStep {
  const { sentRoot, receivedRoot, kept } = state
  if (sentRoot === undefined || receivedRoot === undefined || !kept) return stay(state)
  if (sentRoot !== receivedRoot) return giveBack(state, 'the destination received something else than was sent')
  return to(state, { phase: 'committing' }, { kind: 'store', phase: 'committed', root: sentRoot })
}

function committing(state: SourceState, event: SourceEvent): SourceStep {
  if (event.kind === 'store-failed') return giveBack(state, `the commit could not be written here: ${event.reason}`)
  if (event.kind === 'stored') {
    // Nothing was handed over: the cell goes on under its old epoch, but the journal must stop saying `committed` first.
    if (state.reason !== undefined) return decide(state, 'resuming', state.epoch)
    const { cell, attempt, sentRoot: root = '' } = state
    const handOver = { kind: 'hand-over', cell, attempt, epoch: state.epoch + 1, root } as const
    return armed(state, { phase: 'handed-over' }, state.deadlines.handOverMs, { kind: 'send', message: handOver })
  }
  const reason = trouble(event, 'the commit took too long')
  return reason === undefined ? stay(state) : to(state, { reason: state.reason ?? reason })
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
    const [decided, fate] = [event.kind === 'stored', state.decision]
    return to(state, { phase: 'discarding', decided, tries: 0 }, { kind: 'discard', fate })
  }
  if (event.kind === 'store-failed' && state.resumeEpoch !== state.epoch) {
    const reason = `the decision could not be written here: ${event.reason}`
    const { askMs, askMaxMs } = state.deadlines
    const next = { phase: 'in-doubt', reason, tries: state.tries + 1, told: true } as const
    // Also when it was said before: an owner who decided hears that it did not work.
    const outcome = { kind: 'outcome', outcome: 'in-doubt', epoch: state.epoch + 1, reason } as const
    return armed(state, next, backoff(askMs, askMaxMs, next.tries), outcome)
  }
  return to(state, { phase: 'resuming', tries: 0 }, { kind: 'resume', epoch: state.resumeEpoch })
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
  const settle = state.resumeEpoch === state.epoch ? [] : [{ kind: 'settle' } as const]
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
  const settle = state.decided ? [{ kind: 'settle' } as const] : []
  return to(state, { phase: 'done', told: true }, ...settle, { kind: 'clean' }, { kind: 'close-stream' }, ...outcome)
}

/** Why the move cannot go on, for any event that means so; undefined for events of no concern. */
function trouble(event: SourceEvent, onTimeout: string): string | undefined {
  if (event.kind === 'timeout') return onTimeout
  if (event.kind === 'stream-lost' || event.kind === 'cancel') return event.reason
  if (event.kind !== 'message') return undefined
  if (event.message.kind === 'refuse') return `the destination refused: ${event.message.reason}`
  return `the destination sent '${event.message.kind}' where it does not belong`
}

function neverStopped(state: SourceState, reason: string): SourceStep {
  const next = { phase: 'done', reason, told: true } as const
  const close = { kind: 'close-stream', reason } as const
  return to(state, next, close, outcomeOf({ ...state, reason }, 'resumed', state.epoch))
}

/** Before the hand-over: the cell goes on here at once; the journal is cleaned afterwards. */
function giveBack(state: SourceState, reason: string): SourceStep {
  const next = { phase: 'resuming', reason, resumeEpoch: state.epoch, tries: 0 } as const
  return to(state, next, { kind: 'resume', epoch: state.epoch }, { kind: 'close-stream', reason })
}

function decide(state: SourceState, decision: SourceState['decision'], epoch: number): SourceStep {
  const resumeEpoch = decision === 'resuming' ? epoch : state.resumeEpoch
  const back = decision === 'resuming' ? { resumeEpoch } : {}
  return to(
    state,
    { phase: 'deciding', decision, resumeEpoch },
    { kind: 'store', phase: decision, root: state.sentRoot ?? '', ...back },
    ...(decision === 'resuming' ? [{ kind: 'close-stream' } as const] : []),
  )
}

function outcomeOf(state: SourceState, outcome: MigrationResult['outcome'], epoch: number): SourceEffect {
  return { kind: 'outcome', outcome, epoch, ...(state.reason === undefined ? {} : { reason: state.reason }) }
}

function backoff(firstMs: number, maxMs: number, tries: number): number {
  return Math.min(maxMs, firstMs * 2 ** Math.min(tries - 1, 20))
}

function stay(state: SourceState): SourceStep {
  return { state, effects: [] }
}

/** Any step forward disarms the timer before it. */
function to(state: SourceState, next: Partial<SourceState>, ...effects: SourceEffect[]): SourceStep {
  return { state: { ...state, serial: state.serial + 1, ...next }, effects }
}

function armed(
  state: SourceState,
  next: Partial<SourceState>,
  afterMs: number,
  ...effects: SourceEffect[]
): SourceStep {
  const serial = state.serial + 1
  return { state: { ...state, ...next, serial }, effects: [...effects, { kind: 'arm', serial, afterMs }] }
}

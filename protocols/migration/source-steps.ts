// The forms a step of the source's machine takes, and the ways out of a move.
import type { SourceEffect, SourceEvent, SourceState, SourceStep } from './source-events.ts'
import type { MigrationResult } from './types.ts'

/** Why the move cannot go on, for any event that means so; undefined for events of no concern. */
export function trouble(event: SourceEvent, onTimeout: string): string | undefined {
  if (event.kind === 'timeout') return onTimeout
  if (event.kind === 'stream-lost' || event.kind === 'cancel') return event.reason
  if (event.kind !== 'message') return undefined
  if (event.message.kind === 'refuse') return `the destination refused: ${event.message.reason}`
  return `the destination sent '${event.message.kind}' where it does not belong`
}

/** The cell runs on, whatever of it was copied: it is told at once, and the copy ends meanwhile. */
export function neverStopped(state: SourceState, reason: string): SourceStep {
  const next = { phase: 'done', reason, told: true } as const
  const copied = state.phase === 'preparing' ? [] : ([{ kind: 'cancel-copy' }, { kind: 'clean' }] as const)
  const end = [...copied, { kind: 'close-stream', reason }, { kind: 'settle' }] as const
  return to(state, next, ...end, outcomeOf({ ...state, reason }, 'resumed', state.epoch))
}

/** Before the hand-over: the cell goes on here at once, unless the journal may say by now that it was handed over. */
export function giveBack(state: SourceState, reason: string): SourceStep {
  if (state.mayHaveCommitted) return decide({ ...state, reason }, 'resuming', state.epoch, reason)
  const next = { phase: 'resuming', reason, resumeEpoch: state.epoch, tries: 0 } as const
  return to(state, next, { kind: 'resume', epoch: state.epoch }, { kind: 'close-stream', reason })
}

export function decide(
  state: SourceState,
  decision: SourceState['decision'],
  epoch: number,
  reason?: string,
): SourceStep {
  const resumeEpoch = decision === 'resuming' ? epoch : state.resumeEpoch
  const back = decision === 'resuming' ? { resumeEpoch } : {}
  return to(
    state,
    { phase: 'deciding', decision, resumeEpoch },
    { kind: 'store', phase: decision, root: state.sentRoot ?? '', ...back },
    ...(decision === 'resuming' ? [closing(reason)] : []),
  )
}

/** With a reason the destination hears of it at once, whatever is on its way to it. */
function closing(reason: string | undefined): SourceEffect {
  return reason === undefined ? { kind: 'close-stream' } : { kind: 'close-stream', reason }
}

export function outcomeOf(state: SourceState, outcome: MigrationResult['outcome'], epoch: number): SourceEffect {
  const { reason, byDestination } = state
  const by = outcome === 'resumed' && byDestination ? { byDestination } : {}
  return { kind: 'outcome', outcome, epoch, ...(reason === undefined ? {} : { reason }), ...by }
}

export function backoff(firstMs: number, maxMs: number, tries: number): number {
  return Math.min(maxMs, firstMs * 2 ** Math.min(tries - 1, 20))
}

export function stay(state: SourceState): SourceStep {
  return { state, effects: [] }
}

/** Any step forward disarms the timer before it. */
export function to(state: SourceState, next: Partial<SourceState>, ...effects: SourceEffect[]): SourceStep {
  return { state: { ...state, serial: state.serial + 1, ...next }, effects }
}

export function armed(
  state: SourceState,
  next: Partial<SourceState>,
  afterMs: number,
  ...effects: SourceEffect[]
): SourceStep {
  const serial = state.serial + 1
  return { state: { ...state, ...next, serial }, effects: [...effects, { kind: 'arm', serial, afterMs }] }
}

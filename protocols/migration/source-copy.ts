// The source's machine while the cell runs and is copied, and while it is being stopped. Whatever fails here, the cell runs on.
import type { SourceEvent, SourceState, SourceStep } from './source-events.ts'
import { armed, giveBack, neverStopped, stay, to, trouble } from './source-steps.ts'
import { isTimeToStop } from './stop-rule.ts'

export function copying(state: SourceState, event: SourceEvent): SourceStep {
  switch (event.kind) {
    case 'copying':
      return event.isLive ? nextRound(state) : stop(state)
    case 'copy-failed':
      return neverStopped(state, event.reason)
    case 'round-sent':
      return perhapsMeasure({ ...state, roundBytes: event.bytes })
    case 'measured':
      return measured(state, event)
    case 'message':
      if (event.message.kind === 'applied' && isDue(state, event.message.round))
        return perhapsMeasure({ ...state, applied: true })
  }
  const reason = trouble(event, 'a round of the copy took too long')
  return reason === undefined ? stay(state) : neverStopped(state, reason)
}

/** Rounds are counted from 1. */
function isDue(state: SourceState, round: number): boolean {
  return !state.applied && round === state.rounds.length + 1
}

function nextRound(state: SourceState): SourceStep {
  const { roundBytes: _, ...rest } = state
  const effect = { kind: 'round', round: state.rounds.length + 1 } as const
  return armed({ ...rest, applied: false }, {}, state.deadlines.roundMs, effect)
}

/** What is left is asked for when the destination has all of the round: until then it grows. */
function perhapsMeasure(state: SourceState): SourceStep {
  if (state.roundBytes === undefined || !state.applied) return stay(state)
  return armed(state, {}, state.deadlines.pollMs, { kind: 'measure' })
}

function measured(state: SourceState, event: Extract<SourceEvent, { kind: 'measured' }>): SourceStep {
  const rounds = [...state.rounds, { bytes: state.roundBytes ?? 0, dirtyBytes: event.dirtyBytes }]
  const next = { ...state, rounds }
  return isTimeToStop(rounds, event.elapsedMs, state.stopRule) ? stop(next) : nextRound(next)
}

function stop(state: SourceState): SourceStep {
  return armed(state, { phase: 'stopping' }, state.deadlines.pollMs, { kind: 'stop' })
}

export function stopping(state: SourceState, event: SourceEvent): SourceStep {
  if (event.kind === 'stop-failed') return neverStopped(state, state.reason ?? event.reason)
  if (event.kind === 'stopped') {
    if (state.reason !== undefined) return giveBack(state, state.reason)
    return armed(state, { phase: 'sending', mayHaveCommitted: true }, state.deadlines.lastMs, { kind: 'seal' })
  }
  const reason = trouble(event, 'the cell reached no point at which it can be stopped')
  if (reason === undefined || state.reason !== undefined) return stay(state)
  // The engine may be just about to stop it: only when `stop` has settled is it known whether a resume is due.
  return to(state, { reason }, { kind: 'cancel-copy' })
}

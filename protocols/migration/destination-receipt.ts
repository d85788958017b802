// The destination's machine while the cell comes in, in rounds and then the last of it.
import { messageOf } from '../../core/errors.ts'
import type { DestinationEffect, DestinationEvent, DestinationState, DestinationStep } from './destination-events.ts'
import { armed, refusing, say, stay, to0, trouble } from './destination-steps.ts'
import { finishReceipt, takePiece } from './image.ts'
import type { PieceMessage } from './messages.ts'
import { MAX_ROUNDS } from './protocol.ts'

export function receiving(state: DestinationState, event: DestinationEvent): DestinationStep {
  if (event.kind === 'applied') return applied(state)
  if (event.kind === 'message') {
    const { message } = event
    if (message.kind === 'piece') return received(state, message)
    if (message.kind === 'round' && isDue(state, message.round))
      return armed(state, { rounds: message.round }, state.deadlines.roundMs, { kind: 'apply' })
    if (message.kind === 'complete') return complete(state, message.root)
  }
  return broken(state, event) ?? trouble(state, event, 'the cell did not come in time', refusing)
}

/** One round at a time: the source waits for the answer, so that it cannot ask for more than is carried out. */
function isDue({ rounds, applied, receipt }: DestinationState, round: number): boolean {
  return rounds === applied && round === rounds + 1 && round <= MAX_ROUNDS && receipt.begun.length === 0
}

function received(state: DestinationState, message: PieceMessage): DestinationStep {
  try {
    const { receipt, part } = takePiece(state.receipt, message)
    if (receipt.chain.bytes > state.maxImageBytes)
      return refusing(state, `more than ${state.maxImageBytes} bytes of one cell are more than this peer takes in`)
    const { bytes, more } = message
    const effects: DestinationEffect[] = message.of === 'part' ? [{ kind: 'append', piece: { bytes, more } }] : []
    if (part !== undefined) effects.push({ kind: 'add', part })
    return to0(state, { receipt }, ...effects)
  } catch (error) {
    return refusing(state, messageOf(error))
  }
}

function applied(state: DestinationState): DestinationStep {
  const round = state.applied + 1
  return to0(state, { applied: round }, say({ kind: 'applied', round }))
}

/** The cell becomes whole while its image does. */
function complete(state: DestinationState, root: string): DestinationStep {
  try {
    const context = finishReceipt(state.receipt, root)
    const next = { phase: 'finishing', root } as const
    // The source has no such patience, and its word ends the wait.
    return armed(state, next, state.deadlines.roundMs, { kind: 'finish', context }, { kind: 'commit', context })
  } catch (error) {
    return refusing(state, messageOf(error))
  }
}

export function finishing(state: DestinationState, event: DestinationEvent): DestinationStep {
  if (event.kind !== 'finished' && event.kind !== 'committed')
    return broken(state, event) ?? trouble(state, event, 'the cell was not made whole in time', refusing)
  const next = {
    ...state,
    finished: state.finished || event.kind === 'finished',
    committed: state.committed || event.kind === 'committed',
  }
  if (!next.finished || !next.committed) return stay(next)
  const message = say({ kind: 'received', root: state.root })
  return armed(next, { phase: 'received' }, state.deadlines.awaitHandOverMs, message)
}

/** What came could not be applied or written. */
function broken(state: DestinationState, event: DestinationEvent): DestinationStep | undefined {
  if (event.kind === 'add-failed' || event.kind === 'finish-failed')
    return refusing(state, `the cell could not be loaded: ${event.reason}`)
  if (event.kind === 'append-failed' || event.kind === 'commit-failed')
    return refusing(state, `the snapshot could not be written: ${event.reason}`)
  return undefined
}

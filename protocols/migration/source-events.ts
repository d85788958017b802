// What a source's move is made of: its state, what happens to it, what it asks for. Data only.
import type { Answer, ToDestination, ToSource } from './messages.ts'
import type { SourceRecordPhase } from './records.ts'
import type { Round, StopRule } from './stop-rule.ts'
import type { Deadlines, MigrationResult } from './types.ts'

export type SourcePhase =
  | 'preparing'
  /** The cell runs and is copied. */
  | 'copying'
  | 'stopping'
  /** It stands still; the last parts are on their way. */
  | 'sending'
  | 'handed-over'
  | 'in-doubt'
  | 'deciding'
  | 'resuming'
  | 'discarding'
  | 'done'

export interface SourceLimits {
  readonly deadlines: Deadlines
  readonly stopRule: StopRule
}

export interface SourceState extends SourceLimits {
  readonly phase: SourcePhase
  readonly cell: string
  readonly attempt: string
  /** The epoch before the move; the offer is `epoch + 1`, a return after the hand-over `epoch + 2`. */
  readonly epoch: number
  /** Set by `arm`: an older timer means nothing. */
  readonly serial: number
  /** Why the move was given up, or why it is in doubt. */
  readonly reason?: string
  /** What ended the move was the destination, or the way to it. */
  readonly byDestination: boolean
  /** Rounds that are over, and what is known of the one under way. */
  readonly rounds: readonly Round[]
  readonly roundBytes?: number
  readonly applied: boolean
  /** What the image hashed to as it was sent, and what the destination says it received. */
  readonly sentRoot?: string
  readonly receivedRoot?: string
  /** Image and `committed` are durable. */
  readonly committed: boolean
  /** `committed` may stand in the journal, and no later word. */
  readonly mayHaveCommitted: boolean
  /** The epoch under which the cell goes on here: only in `deciding` and `resuming`. */
  readonly resumeEpoch: number
  /** The decision: only in `deciding` and after. */
  readonly decision: 'resuming' | 'moved' | 'dropped'
  /** Questions or tries so far. */
  readonly tries: number
  /** `outcome` was given. */
  readonly told: boolean
}

export type SourceEvent =
  | { readonly kind: 'begin' }
  | { readonly kind: 'message'; readonly message: ToSource }
  | { readonly kind: 'stream-lost'; readonly reason: string }
  | { readonly kind: 'cancel'; readonly reason: string }
  | { readonly kind: 'timeout'; readonly serial: number }
  | { readonly kind: 'copying'; readonly isLive: boolean }
  /** The copy did not begin, or broke: the cell runs on, or has ended. */
  | { readonly kind: 'copy-failed'; readonly reason: string }
  /** All parts of the round are on their way, and in the image here. */
  | { readonly kind: 'round-sent'; readonly bytes: number }
  | { readonly kind: 'measured'; readonly dirtyBytes: number; readonly elapsedMs: number }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'stop-failed'; readonly reason: string }
  /** All is cut, and is being sent and written: `bytes` are left to travel. */
  | { readonly kind: 'sealed'; readonly root: string; readonly bytes: number }
  /** Image and record `committed` are durable. */
  | { readonly kind: 'committed' }
  | { readonly kind: 'commit-failed'; readonly reason: string }
  | { readonly kind: 'stored' }
  | { readonly kind: 'store-failed'; readonly reason: string }
  | { readonly kind: 'answer'; readonly answer: Answer | 'no-answer'; readonly reason?: string }
  | { readonly kind: 'decide'; readonly decision: 'resume' | 'drop' }
  | { readonly kind: 'resumed' }
  | { readonly kind: 'resume-failed'; readonly reason: string }
  | { readonly kind: 'discarded' }
  | { readonly kind: 'discard-failed'; readonly reason: string }

export type SourceEffect =
  /** Opens the stream and sends the offer. */
  | { readonly kind: 'prepare' }
  | { readonly kind: 'send'; readonly message: ToDestination }
  /** Ends with `copying` or `copy-failed`. */
  | { readonly kind: 'copy' }
  /** Sends and writes what has changed, then `round`; ends with `round-sent`, `copy-failed` or `stream-lost`. */
  | { readonly kind: 'round'; readonly round: number }
  /** Ends with `measured` or `copy-failed`. */
  | { readonly kind: 'measure' }
  /** Ends with `stopped` or `stop-failed`, also after `cancel-copy`. */
  | { readonly kind: 'stop' }
  | { readonly kind: 'cancel-copy' }
  /**
   * Sends what is left, context and `complete`, and makes the image, then `committed`, durable meanwhile; ends with `sealed`,
   * then `committed` or `commit-failed`.
   */
  | { readonly kind: 'seal' }
  | { readonly kind: 'store'; readonly phase: SourceRecordPhase; readonly resumeEpoch?: number; readonly root: string }
  | { readonly kind: 'close-stream'; readonly reason?: string }
  | { readonly kind: 'ask' }
  /** Tells the destination, by whatever way is open, that it will not be asked again. Nobody waits for it. */
  | { readonly kind: 'settle' }
  | { readonly kind: 'resume'; readonly epoch: number }
  | { readonly kind: 'discard'; readonly fate: 'moved' | 'dropped' }
  /** Removes record and image. */
  | { readonly kind: 'clean' }
  | { readonly kind: 'arm'; readonly serial: number; readonly afterMs: number }
  | {
      readonly kind: 'outcome'
      readonly outcome: MigrationResult['outcome'] | 'stuck'
      readonly epoch: number
      readonly reason?: string
      readonly byDestination?: boolean
    }

export interface SourceStep {
  readonly state: SourceState
  readonly effects: readonly SourceEffect[]
}

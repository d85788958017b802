// One cell as its host holds it: what is kept on disk, and what only lives in memory.
import { decode, encode } from 'cborg'
import type { CellErrorCode, CellHandle, EngineName } from '../../cells/index.ts'
import { CodedError } from '../../core/errors.ts'
import type { PeerKey } from '../../protocols/kit/types.ts'
import type { CellManifest, Reporter, SignedManifest } from '../../protocols/placement/index.ts'
import type { CellsErrorCode } from './errors.ts'

/**
 * `starting`, `running`: the program's state is in memory only. `ended`: the result is in `outbox` and waits to be taken.
 * `gone`: it was moved or dropped, and `outbox` says so.
 */
export type HostedPhase = 'starting' | 'running' | 'ended' | 'gone'

export interface HostedRecord {
  readonly cell: string
  readonly epoch: number
  readonly phase: HostedPhase
  readonly signed: SignedManifest
  readonly moved: boolean
  /** `encodeOutbox`: what must survive a restart, at least which life of the reports this is. */
  readonly outbox: Uint8Array
}

export interface HostedCell {
  record: HostedRecord
  readonly manifest: CellManifest
  reporter: Reporter
  /** Aborts fetching and launching. */
  readonly cancel: AbortController
  /** The last change of the record that was asked for. */
  saving?: Promise<void>
  /** Set while the program exists here, running or suspended. */
  handle?: CellHandle
  /** The reporter has its last event: once that is taken, nothing of the cell is left to tell. */
  hasSaidLast?: boolean
  /** Destination of the move that is under way. */
  movingTo?: PeerKey
}

/** Cells in these phases take a slot and their memory. */
export function isActive(hosted: HostedCell): boolean {
  return hosted.record.phase === 'starting' || hosted.record.phase === 'running'
}

/** `state`: what it is instead, when that is not its phase. */
export function notRunning(hosted: HostedCell, state?: string): CodedError<CellsErrorCode> {
  const { cell, phase } = hosted.record
  const message = `cell ${cell.slice(0, 12)} is ${state ?? phase} here: it cannot be moved, stopped or decided about`
  return new CodedError('CELL_NOT_RUNNING', message, { facts: { cell, phase } })
}

/** Said before anything of a move has begun. */
export function notMigratable(cell: string, engine: EngineName): CodedError<CellErrorCode> {
  const why = engine === 'wasix' ? 'it runs on the engine wasix' : 'its owner submitted it with --migratable=false'
  const message = `cell ${cell.slice(0, 12)} cannot be moved: ${why}; "stop" and "rerun" start it anew`
  return new CodedError('ENGINE_NOT_MIGRATABLE', message, { facts: { cell } })
}

export function encodeHosted(record: HostedRecord): Uint8Array {
  return encode(record, { ignoreUndefinedProperties: true })
}

/** The home is the peer's own: what stands there was written by this program. */
export function decodeHosted(cell: string, bytes: Uint8Array): HostedRecord {
  try {
    return decode(bytes) as HostedRecord
  } catch (error) {
    throw new CodedError<CellsErrorCode>(
      'CELL_RECORD_CORRUPT',
      `the host's record of cell ${cell} in the home cannot be read`,
      {
        facts: { cell },
        cause: error,
      },
    )
  }
}

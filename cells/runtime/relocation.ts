// A suspended cell's way into another host process of its owner: what is there when it fails, and who hears of it.
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import type { CellHostProcess, CellListener } from './host-process.ts'
import { answers } from './messages.ts'

/** A host process and what it calls the cell. */
export interface Place {
  readonly host: CellHostProcess
  readonly cell: number
}

/** Has a cell live in another place, once `start` has restored it there. */
export type Relocate = (place: Place, start: () => Promise<void>) => Promise<void>

/**
 * Has `start` restore a cell in `place`, where from then on `listener` listens, if `mayStay` does not throw. When it
 * fails nothing of the cell is left there.
 */
export async function settle(
  { host, cell }: Place,
  listener: CellListener,
  start: () => Promise<void>,
  mayStay: () => void,
): Promise<void> {
  let died: string | undefined
  const gone = (why: string): void => {
    died = why
  }
  // Until it lives there, what becomes of it there is not what becomes of it.
  host.attach(cell, {
    onOutput: () => undefined,
    onOver: () => undefined,
    onEnded: ({ kind }) => gone(`what was restored of the cell ended: ${kind}`),
    onHostDied: gone,
  })
  try {
    await start()
    if (died !== undefined) throw new CodedError<CellErrorCode>('CELL_HOST_DIED', died)
    mayStay()
  } catch (error) {
    host.detach(cell)
    host.ask({ kind: 'kill', cell }, answers.nothing).answer.catch(() => undefined)
    throw error
  }
  host.attach(cell, listener)
}

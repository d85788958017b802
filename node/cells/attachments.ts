// Standard input on its way from whoever is attached to a cell to the peer that runs it by now: each byte once, whatever is lost,
// repeated or moved meanwhile, because every piece says where it begins and the cell itself says what it has.
import type { StdinTaken } from '../../cells/index.ts'
import { type Clock, sleep } from '../../core/clock.ts'
import { CodedError, isCoded } from '../../core/errors.ts'
import type { KitErrorCode } from '../../protocols/kit/errors.ts'
import type { Command, CommandResult, PlacementErrorCode } from '../../protocols/placement/index.ts'
import type { CellBook } from './cell-book.ts'
import { type CellRecord, hasEnded } from './cell-record.ts'
import type { CellsErrorCode } from './errors.ts'

/** A host is asked for a cell's standard input no more often, on average: what is typed is sooner there, what is piped waits. */
const PIECE_EVERY_MS = 125
/** What cannot be passed on, since the cell is being placed or moved, is tried again at each change, and so often. */
const RETRY_MS = 250
/** Then it is said that it cannot be passed on now. */
const GIVE_UP_MS = 60_000
/** Answers that another try would not change. */
const FINAL: readonly (KitErrorCode | PlacementErrorCode)[] = [
  'NOT_OWNER',
  'NOT_SUBMITTER',
  'MESSAGE_TOO_LARGE',
  'MESSAGE_MALFORMED',
  'REMOTE_REFUSED',
]

export interface AttachmentsInit {
  readonly book: Pick<CellBook, 'get' | 'changed'>
  readonly clock: Clock
  /** Asks the host that runs the cell as far as is known here. */
  readonly command: (record: CellRecord, command: Command) => Promise<CommandResult>
}

export interface StdinWrite {
  /** Any text that nobody else uses. */
  readonly writer: string
  readonly at: number
  readonly bytes: Uint8Array
  readonly end?: boolean
}

interface Attachment {
  readonly writer: string
  /** The next piece goes on its way no sooner, monotonic. */
  readonly nextAt: number
}

export class Attachments {
  readonly #init: AttachmentsInit
  readonly #attached = new Map<string, Attachment>()

  constructor(init: AttachmentsInit) {
    this.#init = init
  }

  /**
   * Resolves with what the cell has then. An empty piece attaches its writer, and whoever was attached before is no more: two
   * who say "from byte 7 on" cannot both be right. Rejects with `CELL_STDIN_ELSEWHERE`, and with `CELL_NOT_RUNNING` when the cell
   * has ended, or runs nowhere for a minute; what the host refuses for good is passed on at once.
   */
  async write(cell: string, write: StdinWrite, signal: AbortSignal): Promise<StdinTaken> {
    const { book, clock } = this.#init
    const until = clock.mono() + GIVE_UP_MS
    if (write.bytes.length === 0 && write.end !== true) this.#attach(cell, write.writer)
    for (;;) {
      const record = book.get(cell)?.record
      if (record === undefined || hasEnded(record)) {
        this.#attached.delete(cell)
        throw notNow(cell, 'it has ended')
      }
      await this.#turn(cell, write.writer, signal)
      const problem =
        record.phase === 'running' ? await this.#tried(record, write) : notNow(cell, `it is ${record.phase}`)
      if (!(problem instanceof Error)) return problem
      if (clock.mono() >= until || isCoded(problem, ...FINAL)) throw problem
      const soon = AbortSignal.any([signal, AbortSignal.timeout(RETRY_MS)])
      await book.changed(cell, soon).catch(() => signal.throwIfAborted())
    }
  }

  #attach(cell: string, writer: string): void {
    const nextAt = this.#attached.get(cell)?.nextAt ?? 0
    this.#attached.set(cell, { writer, nextAt })
  }

  /** Waits until a piece of that writer may go on its way. After this peer was started again, whoever is first is attached. */
  async #turn(cell: string, writer: string, signal: AbortSignal): Promise<void> {
    const { clock } = this.#init
    const { nextAt } = this.#attached.get(cell) ?? { nextAt: 0 }
    await sleep(clock, Math.max(0, nextAt - clock.mono()), signal)
    const attached = this.#attached.get(cell)
    if (attached !== undefined && attached.writer !== writer)
      throw new CodedError<CellsErrorCode>(
        'CELL_STDIN_ELSEWHERE',
        `somebody else is attached to cell ${cell.slice(0, 12)} now`,
      )
    this.#attached.set(cell, { writer, nextAt: clock.mono() + PIECE_EVERY_MS })
  }

  /** What came of one try: whatever went wrong, the same piece may be sent again. */
  async #tried(record: CellRecord, { at, bytes, end }: StdinWrite): Promise<StdinTaken | Error> {
    try {
      const command = { kind: 'write-stdin', at, bytes, ...(end === undefined ? {} : { end }) } as const
      const result = await this.#init.command(record, command)
      if (result.kind !== 'stdin') throw new Error(`the host answered ${result.kind}`)
      return { bytes: result.bytes, closed: result.closed }
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
  }
}

function notNow(cell: string, why: string): CodedError<CellsErrorCode> {
  return new CodedError('CELL_NOT_RUNNING', `cell ${cell.slice(0, 12)} takes no standard input now: ${why}`)
}

// The copy of one cell on its way out: parts from the cell go to the destination and into the image here, each hashed once.
// Knows no machine: what it is asked for ends with a value or an error.
import { CodedError } from '../../core/errors.ts'
import type { MigrationErrorCode } from './errors.ts'
import { beginChain, type Chain, cut, pieceMessage, rootOf } from './image.ts'
import type { PieceMessage, ToDestination } from './messages.ts'
import { CHUNK_BYTES, MAX_CONTEXT_BYTES, MAX_PART_BYTES } from './protocol.ts'
import type { SourceStore } from './source-store.ts'
import type { SourceStream } from './source-stream.ts'
import type { CellCopy, SourcePort, StoppedCell } from './types.ts'

/** As much as goes out at once: two pieces, which are what is left in most stops, and little beside them. */
const TOGETHER_BYTES = 2 * CHUNK_BYTES

export interface OutgoingCopyInit {
  readonly cell: string
  readonly source: SourcePort
  readonly store: SourceStore
  readonly stream: SourceStream
}

export class OutgoingCopy {
  readonly #init: OutgoingCopyInit
  readonly #giveUp = new AbortController()
  #begun: Promise<CellCopy> | undefined
  #stopped: StoppedCell | undefined
  #ended: Promise<void> = Promise.resolve()
  #chain: Chain = beginChain()

  constructor(init: OutgoingCopyInit) {
    this.#init = init
  }

  /** Parts that were made so far, bytes. */
  movedBytes = 0

  /** Begins image and copy; resolves with whether the cell runs on meanwhile. */
  async begin(): Promise<boolean> {
    const { source, cell, store } = this.#init
    await store.create()
    this.#giveUp.signal.throwIfAborted()
    this.#begun = source.copy(cell, { signal: this.#giveUp.signal })
    return (await this.#begun).isLive
  }

  /** Resolves with the bytes of the round once all of it is on its way, and written here. */
  async round(round: number): Promise<number> {
    const copy = await this.#copy()
    const before = this.movedBytes
    let written: Promise<void> = Promise.resolve()
    for await (const part of copy.round()) {
      const pieces = this.#cut(part)
      // One part at most is being written while the next is made and sent.
      await written
      written = this.#init.store.append(pieces)
      written.catch(() => undefined)
      for (const piece of pieces) if (!(await this.#init.stream.sent(piece))) throw new Error('the destination is gone')
    }
    await written
    await Promise.all([this.#init.stream.sent({ kind: 'round', round }), this.#init.store.sync()])
    return this.movedBytes - before
  }

  async dirtyBytes(): Promise<number> {
    return (await this.#copy()).dirtyBytes()
  }

  async stop(): Promise<StoppedCell> {
    this.#stopped = await (await this.#copy()).stop()
    return this.#stopped
  }

  /**
   * Sends what is left and `complete`, and writes it and the commit meanwhile: `sealed` is called with the root first, before
   * anything is waited for. Resolves with what went wrong with the commit.
   */
  async seal(sealed: (root: string, lastBytes: number) => void): Promise<string | undefined> {
    const { stream, store } = this.#init
    const { parts, context } = this.#stopped ?? { parts: [], context: new Uint8Array() }
    if (context.length > MAX_CONTEXT_BYTES)
      return `${context.length} bytes of output were not taken by its owner yet; at most ${MAX_CONTEXT_BYTES} move along`
    const before = this.movedBytes
    const pieces = parts.flatMap((part) => this.#cut(part))
    const rest = [...cut(context)].map((piece) => this.#link('context', piece))
    const root = rootOf(this.#chain)
    for (const messages of together([...pieces, ...rest, { kind: 'complete', root }])) stream.say(...messages)
    const committed = store.commit(pieces, context, root)
    sealed(root, this.movedBytes - before)
    return committed
  }

  /** The cell goes on as if it had never been copied, unless it was stopped by then. Idempotent. */
  cancel(): void {
    if (this.#giveUp.signal.aborted) return
    this.#giveUp.abort(new Error('the move was given up'))
    this.#ended = this.#cancelled()
  }

  /** What `cancel` began is done. */
  idle(): Promise<void> {
    return this.#ended
  }

  async #cancelled(): Promise<void> {
    try {
      await (await this.#begun)?.cancel()
    } catch {
      // It did not begin, or the cell has ended.
    }
  }

  #copy(): Promise<CellCopy> {
    this.#giveUp.signal.throwIfAborted()
    if (this.#begun === undefined) throw new Error('the copy was not begun')
    return this.#begun
  }

  #cut(part: Uint8Array): PieceMessage[] {
    if (part.length > MAX_PART_BYTES)
      throw new CodedError<MigrationErrorCode>(
        'MIGRATION_TOO_LARGE',
        `a part of ${part.length} bytes cannot move: at most ${MAX_PART_BYTES} go as one`,
      )
    this.movedBytes += part.length
    return [...cut(part)].map((piece) => this.#link('part', piece))
  }

  #link(of: PieceMessage['of'], piece: { readonly bytes: Uint8Array; readonly more: boolean }): PieceMessage {
    const { message, chain } = pieceMessage(this.#chain, of, piece)
    this.#chain = chain
    return message
  }
}

/** Messages in groups of at most `TOGETHER_BYTES`, or of one. */
function together(messages: readonly ToDestination[]): ToDestination[][] {
  const groups: ToDestination[][] = [[]]
  let bytes = 0
  for (const message of messages) {
    bytes += message.kind === 'piece' ? message.bytes.length : 0
    if (bytes > TOGETHER_BYTES) {
      bytes = message.kind === 'piece' ? message.bytes.length : 0
      groups.push([])
    }
    groups.at(-1)?.push(message)
  }
  return groups
}

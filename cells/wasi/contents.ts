// The bytes of a cell's files, sent ahead of its state while the program still runs: what has been sent and has not
// changed since is left out of the state.
import { bytes, type Infer, integer, list, object } from '../../core/shape.ts'
import type { Content } from './content.ts'
import type { FileNode } from './nodes.ts'
import { PIECE_BYTES } from './pieces.ts'

/** Bytes are in memory already when the shape sees them, so the shape does not bound them again. */
const MAX_BYTES = Number.MAX_SAFE_INTEGER
const MAX_PIECES = 2 ** 20
const MAX_CHANGES = 2 ** 17

const pieces = list(object({ at: integer(), bytes: bytes(MAX_BYTES) }), MAX_PIECES)

/** What a file holds, all of it or where it differs from what was sent before. */
export const contentFields = { size: integer(), pieces } as const

/** Shape of a {@link ContentDelta}: maps, lists, integers and bytes, so it can be part of any CBOR message. */
export const contentDelta = object({
  changes: list(object({ inode: integer(1), ...contentFields }), MAX_CHANGES),
  /** Inodes of files that were sent and are no more. */
  gone: list(integer(1), MAX_CHANGES),
})

/** To be given to `ReceivedContents` in order. The bytes are views: valid until the program goes on. */
export type ContentDelta = Infer<typeof contentDelta>
export type FileChange = ContentDelta['changes'][number]
export type Piece = FileChange['pieces'][number]

/** Who is told of every change of a file's bytes. */
export interface ContentWatch {
  /** Bytes in [from, to) or the size have changed. */
  changed(file: FileNode, from: number, to: number): void
  gone(file: FileNode): void
}

interface Entry {
  /** By piece: 1 where it differs from what was sent. */
  unsent: Uint8Array
  /** In how many deltas the file was, and its size in the last one. */
  deltas: number
  sentSize: number
}

/** The sender's side: which pieces of which files have been sent. From `Wasi.trackContents()`. */
export class ContentLedger implements ContentWatch {
  readonly #entries = new Map<FileNode, Entry>()
  /** Those with something to send. */
  readonly #waiting = new Set<FileNode>()
  #gone: number[] = []

  constructor(files: Iterable<FileNode>) {
    for (const file of files) if (file.content.size > 0) this.changed(file, 0, file.content.size)
  }

  changed(file: FileNode, from: number, to: number): void {
    const entry = this.#entries.get(file) ?? { unsent: new Uint8Array(1), deltas: 0, sentSize: 0 }
    const end = Math.ceil(to / PIECE_BYTES)
    if (end > entry.unsent.length) {
      const grown = new Uint8Array(Math.max(end, 2 * entry.unsent.length))
      grown.set(entry.unsent)
      entry.unsent = grown
    }
    entry.unsent.fill(1, Math.floor(from / PIECE_BYTES), end)
    this.#entries.set(file, entry)
    this.#waiting.add(file)
  }

  gone(file: FileNode): void {
    if ((this.#entries.get(file)?.deltas ?? 0) > 0) this.#gone.push(file.inode)
    this.#entries.delete(file)
    this.#waiting.delete(file)
  }

  /** How many bytes are to be sent still. */
  get unsentBytes(): number {
    let total = 0
    for (const file of this.#waiting)
      for (const [from, to] of this.#unsentOf(file))
        total += Math.min(to * PIECE_BYTES, file.content.size) - from * PIECE_BYTES
    return total
  }

  /** What is to be sent next, which counts as sent from now on: `maxBytes` of file contents, and a piece at least. */
  next(maxBytes: number): ContentDelta {
    const changes: FileChange[] = []
    let room = maxBytes
    // Room is made before it is taken: both sides keep the same limit.
    const shrunk = Array.from(this.#waiting).filter(
      (file) => file.content.size < (this.#entries.get(file)?.sentSize ?? 0),
    )
    for (const file of shrunk) changes.push({ inode: file.inode, size: file.content.size, pieces: this.#take(file, 0) })
    for (const file of this.#waiting) {
      if (room <= 0 || changes.length >= MAX_CHANGES) break
      const taken = this.#take(file, room)
      for (const { bytes } of taken) room -= bytes.length
      changes.push({ inode: file.inode, size: file.content.size, pieces: taken })
    }
    const gone = this.#gone.splice(0, MAX_CHANGES)
    return { changes, gone }
  }

  /** For the state: what a file holds beyond what was sent, and in how many deltas that was; undefined: none. */
  remainder(file: FileNode): { readonly pieces: Piece[]; readonly deltas: number } | undefined {
    const deltas = this.#entries.get(file)?.deltas ?? 0
    if (deltas === 0) return undefined
    return { pieces: Array.from(this.#unsentOf(file), ([from, to]) => piecesOf(file.content, from, to)).flat(), deltas }
  }

  #take(file: FileNode, maxBytes: number): Piece[] {
    const entry = this.#entries.get(file)
    const taken: Piece[] = []
    if (entry === undefined) return taken
    entry.deltas++
    entry.sentSize = file.content.size
    let room = maxBytes
    for (const [from, end] of this.#unsentOf(file)) {
      if (room <= 0) break
      const to = Math.min(end, from + Math.ceil(room / PIECE_BYTES))
      for (const piece of piecesOf(file.content, from, to)) {
        taken.push(piece)
        room -= piece.bytes.length
      }
      entry.unsent.fill(0, from, to)
    }
    if (this.#unsentOf(file).next().done) this.#waiting.delete(file)
    return taken
  }

  /** Runs of pieces, by number: from, and up to. */
  *#unsentOf(file: FileNode): Generator<readonly [number, number], void, void> {
    const unsent = this.#entries.get(file)?.unsent ?? new Uint8Array(0)
    const end = Math.min(unsent.length, Math.ceil(file.content.size / PIECE_BYTES))
    for (let from = unsent.indexOf(1); from >= 0 && from < end; ) {
      const next = unsent.indexOf(0, from)
      const to = next < 0 ? end : Math.min(next, end)
      yield [from, to]
      from = unsent.indexOf(1, to)
    }
  }
}

/** Views of the pieces from number `from` up to `to`. Throws `StorageError`. */
export function piecesOf(content: Content, from: number, to: number): Piece[] {
  return Array.from({ length: to - from }, (_, i) => ({
    at: (from + i) * PIECE_BYTES,
    bytes: content.piece(from + i),
  }))
}

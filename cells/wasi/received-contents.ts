// The bytes of a cell's files that arrived ahead of its state, at the host where it will go on.
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import { Content } from './content.ts'
import type { ContentDelta, Piece } from './contents.ts'
import { PiecePool } from './pieces.ts'

interface Received {
  readonly content: Content
  deltas: number
}

export class ReceivedContents {
  readonly #limitBytes: number
  readonly #pool: PiecePool
  readonly #files = new Map<number, Received>()
  #bytes = 0

  /** @param limitBytes what all files may take together: the cell's `diskBytes` */
  constructor(limitBytes: number, pool = new PiecePool()) {
    this.#limitBytes = limitBytes
    this.#pool = pool
  }

  /** Takes what `ContentLedger.next` gave, each once and in order. Throws `SNAPSHOT_MALFORMED` otherwise. */
  apply({ changes, gone }: ContentDelta): void {
    for (const inode of gone) this.#drop(inode)
    for (const { inode, size, pieces } of changes) {
      const file = this.#files.get(inode) ?? { content: new Content(this.#pool), deltas: 0 }
      this.#files.set(inode, file)
      const total = this.#bytes - file.content.size + size
      if (total > this.#limitBytes) throw malformed(`${total} bytes of files arrived, more than ${this.#limitBytes}`)
      this.#put(file.content, size, pieces)
      file.deltas++
    }
  }

  /**
   * The content of a file by what its state says, for the state's restorer to keep: nothing may be applied after.
   * Throws when a delta is missing.
   */
  complete(inode: number, deltas: number, size: number, pieces: readonly Piece[]): Content {
    const file = this.#files.get(inode)
    if (file?.deltas !== deltas) throw malformed(`not all of the file with inode ${inode} has arrived`)
    let covered = file.content.size
    for (const { at, bytes } of pieces) if (at <= covered) covered = Math.max(covered, at + bytes.length)
    if (size > covered) throw malformed(`the file with inode ${inode} has a hole`)
    this.#put(file.content, size, pieces)
    return file.content
  }

  #put(content: Content, size: number, pieces: readonly Piece[]): void {
    this.#bytes += size - content.size
    content.resize(size)
    for (const { at, bytes } of pieces) {
      if (at + bytes.length > size) throw malformed(`a piece ends beyond the ${size} bytes of its file`)
      content.write(at, bytes, 0, bytes.length)
    }
  }

  #drop(inode: number): void {
    const content = this.#files.get(inode)?.content
    this.#bytes -= content?.size ?? 0
    content?.drop()
    this.#files.delete(inode)
  }
}

function malformed(problem: string): CodedError<CellErrorCode> {
  return new CodedError('SNAPSHOT_MALFORMED', `the file contents of the snapshot are damaged: ${problem}`)
}

// The bytes of a cell's files that arrived ahead of its state, at the host where it will go on.
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import type { ContentDelta, Piece } from './contents.ts'

interface Received {
  /** Beyond `size` all is zero. */
  data: Uint8Array
  size: number
  deltas: number
}

export class ReceivedContents {
  readonly #limitBytes: number
  readonly #files = new Map<number, Received>()
  #bytes = 0

  /** @param limitBytes what all files may take together: the cell's `diskBytes` */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  /** Takes what `ContentLedger.next` gave, each once and in order. Throws `SNAPSHOT_MALFORMED` otherwise. */
  apply({ changes, gone }: ContentDelta): void {
    for (const inode of gone) this.#drop(inode)
    for (const { inode, size, pieces } of changes) {
      const file = this.#files.get(inode) ?? { data: new Uint8Array(0), size: 0, deltas: 0 }
      this.#files.set(inode, file)
      const total = this.#bytes - file.size + size
      if (total > this.#limitBytes) throw malformed(`${total} bytes of files arrived, more than ${this.#limitBytes}`)
      this.#put(file, size, pieces)
      file.deltas++
    }
  }

  /**
   * The content of a file by what its state says, for the state's restorer to keep: nothing may be applied after.
   * Capacity beyond `size` is zero. Throws when a delta is missing.
   */
  complete(inode: number, deltas: number, size: number, pieces: readonly Piece[]): Uint8Array {
    const file = this.#files.get(inode)
    if (file?.deltas !== deltas) throw malformed(`not all of the file with inode ${inode} has arrived`)
    let covered = file.size
    for (const { at, bytes } of pieces) if (at <= covered) covered = Math.max(covered, at + bytes.length)
    if (size > covered) throw malformed(`the file with inode ${inode} has a hole`)
    this.#put(file, size, pieces)
    return file.data
  }

  #put(file: Received, size: number, pieces: readonly Piece[]): void {
    if (size > file.data.length) {
      // A file that grows while it is sent gets room to spare, within the limit.
      const spare = file.size === 0 ? size : Math.min(2 * size, size + Math.max(0, this.#limitBytes - this.#bytes))
      const data = new Uint8Array(spare)
      data.set(file.data.subarray(0, file.size))
      file.data = data
    } else if (size < file.size) file.data.fill(0, size, file.size)
    this.#bytes += size - file.size
    file.size = size
    for (const { at, bytes } of pieces) {
      if (at + bytes.length > size) throw malformed(`a piece ends beyond the ${size} bytes of its file`)
      file.data.set(bytes, at)
    }
  }

  #drop(inode: number): void {
    this.#bytes -= this.#files.get(inode)?.size ?? 0
    this.#files.delete(inode)
  }
}

function malformed(problem: string): CodedError<CellErrorCode> {
  return new CodedError('SNAPSHOT_MALFORMED', `the file contents of the snapshot are damaged: ${problem}`)
}

// The files of one cell beyond memory, in the thread that runs it: inputs that are read where they lie, a scratch file, and
// results that are left to be taken away. All in the folder of its host process, the only one that it may use.
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { threadId } from 'node:worker_threads'
import type { CellFile, LargeFile } from '../types.ts'
import { type FileSource, PIECE_BYTES, PiecePool, type Wasi } from '../wasi/index.ts'
import { SPILL_FOLDER } from './host-folder.ts'
import { LARGE_FILE_BYTES, RESIDENT_FILE_BYTES } from './limits.ts'
import { readFully, ScratchFile, writeFully } from './scratch-file.ts'

/** Results as they are told to the peer. */
export interface Results {
  readonly files: CellFile[]
  /** `file` is a name in the folder. */
  readonly largeFiles?: LargeFile[]
}

export class CellStorage {
  readonly pool: PiecePool
  readonly #folder: string | undefined
  readonly #scratch: ScratchFile | undefined
  readonly #open: number[] = []

  /** @param folder of the host process; without one all stays in memory */
  constructor(folder: string | undefined) {
    this.#folder = folder && join(folder, SPILL_FOLDER)
    this.#scratch = this.#folder === undefined ? undefined : new ScratchFile(join(this.#folder, `scratch-${threadId}`))
    this.pool = new PiecePool(this.#scratch && { scratch: this.#scratch, residentBytes: RESIDENT_FILE_BYTES })
  }

  /** Opens an input, which may lose its name after that. */
  source({ file, bytes: size }: LargeFile): FileSource {
    const open = openSync(file, 'r')
    this.#open.push(open)
    return { size, read: (at, into) => readFully(open, into, at) }
  }

  /** What the program has left: large files are copied into files of their own, piece by piece. */
  results(wasi: Wasi): Results {
    const files: CellFile[] = []
    const largeFiles: LargeFile[] = []
    for (const { path, content } of wasi.changedFiles()) {
      if (this.#folder === undefined || content.size <= LARGE_FILE_BYTES) {
        files.push({ path, bytes: content.bytes() })
        continue
      }
      const name = `result-${threadId}-${largeFiles.length}`
      const file = openSync(join(this.#folder, name), 'w', 0o600)
      try {
        for (let at = 0; at < content.size; at += PIECE_BYTES) writeFully(file, content.piece(at / PIECE_BYTES), at)
      } finally {
        closeSync(file)
      }
      largeFiles.push({ path, file: name, bytes: content.size })
    }
    return largeFiles.length === 0 ? { files } : { files, largeFiles }
  }

  /** Nobody reads or writes its files any more. */
  close(): void {
    this.#scratch?.close()
    for (const file of this.#open.splice(0)) closeSync(file)
  }
}

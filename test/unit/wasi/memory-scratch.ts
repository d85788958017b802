import { type Scratch, StorageError } from '../../../cells/wasi/index.ts'

/** Scratch that can be full, or broken. */
export class MemoryScratch implements Scratch {
  full = false
  broken = false
  writes = 0
  readonly #slots = new Map<number, Uint8Array>()

  /** Pieces in it. */
  get size(): number {
    return this.#slots.size
  }

  write(bytes: Uint8Array): number {
    if (this.full) throw new StorageError('full', true)
    this.#slots.set(++this.writes, bytes.slice())
    return this.writes
  }

  read(slot: number, into: Uint8Array): void {
    const bytes = this.#slots.get(slot)
    if (bytes?.length !== into.length) throw new Error(`slot ${slot} does not hold ${into.length} bytes`)
    if (this.broken) throw new StorageError('broken')
    into.set(bytes)
  }

  free(slot: number): void {
    if (!this.#slots.delete(slot)) throw new Error(`slot ${slot} is freed twice`)
  }
}

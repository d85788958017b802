// Who may fetch which objects from this peer: inputs and results go only where their cell's owner lets them go.
import type { PeerKey } from '../../protocols/kit/types.ts'

export class BlobAccess {
  readonly #readers = new Map<string, Map<PeerKey, Set<string>>>()

  /** Lets `peer` read `cids` for the sake of `cell`. */
  allow(cell: string, peer: PeerKey, cids: readonly string[]): void {
    for (const cid of cids) {
      const readers = this.#readers.get(cid) ?? new Map<PeerKey, Set<string>>()
      this.#readers.set(cid, readers)
      const reasons = readers.get(peer) ?? new Set<string>()
      readers.set(peer, reasons.add(cell))
    }
  }

  /** Takes back everything that was allowed for the sake of `cell`. */
  forget(cell: string): void {
    for (const [cid, readers] of this.#readers) {
      for (const [peer, reasons] of readers) {
        reasons.delete(cell)
        if (reasons.size === 0) readers.delete(peer)
      }
      if (readers.size === 0) this.#readers.delete(cid)
    }
  }

  mayRead(peer: PeerKey, cid: string): boolean {
    return this.#readers.get(cid)?.has(peer) ?? false
  }
}

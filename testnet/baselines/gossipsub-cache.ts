// What a peer of GossipSub remembers of messages: which it has seen, and those of the last heartbeats, to offer and to give.

/** The same object wherever it gets to. */
export interface Published {
  readonly kind: 'message'
  readonly origin: number
  /** Counts what `origin` has published. */
  readonly sequence: number
}

/** So many before the newest of an origin may still come; what is older counts as seen. */
const BEHIND = 16

export class Seen {
  /** By origin: the newest in the upper half, and a bit for each before it in the lower. */
  readonly #all: Uint32Array

  constructor(count: number) {
    this.#all = new Uint32Array(count)
  }

  newest(origin: number): number {
    return (this.#all[origin] as number) >>> 16
  }

  has({ origin, sequence }: Published): boolean {
    const known = this.#all[origin] as number
    const behind = (known >>> 16) - sequence
    return behind === 0 || (behind > 0 && (behind > BEHIND || (known & (1 << (behind - 1))) !== 0))
  }

  /** False: it was there. */
  add(message: Published): boolean {
    if (this.has(message)) return false
    const { origin, sequence } = message
    const known = this.#all[origin] as number
    const newest = known >>> 16
    if (sequence < newest) this.#all[origin] = known | (1 << (newest - sequence - 1))
    else {
      const by = sequence - newest
      const bits = by > BEHIND ? 0 : (((known & 0xffff) << by) | (newest === 0 ? 0 : 1 << (by - 1))) & 0xffff
      this.#all[origin] = ((sequence << 16) | bits) >>> 0
    }
    return true
  }
}

/** Heartbeats that a message is kept for, and offered in (`mcache_len`, `mcache_gossip`). */
const WINDOWS = 5
const GOSSIP_WINDOWS = 3

export class MessageCache {
  readonly #windows: Set<Published>[] = [new Set()]

  add(message: Published): void {
    this.#windows[0]?.add(message)
  }

  has(message: Published): boolean {
    return this.#windows.some((window) => window.has(message))
  }

  recent(): readonly Published[] {
    return this.#windows.slice(0, GOSSIP_WINDOWS).flatMap((window) => [...window])
  }

  shift(): void {
    this.#windows.unshift(new Set())
    if (this.#windows.length > WINDOWS) this.#windows.pop()
  }
}

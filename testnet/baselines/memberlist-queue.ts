// What memberlist has yet to gossip (`queue.go`): each thing a limited number of times, least sent first, of those the longest that
// still fits, of those the newest. What is said of somebody replaces what was to be said of them before.
import { type Broadcast, broadcastBytes, LAN } from './memberlist-wire.ts'

interface Queued {
  readonly broadcast: Broadcast
  /** In the order in which they came into this queue. */
  readonly id: number
}

/** Of what has been sent equally often: those of a kind are as long as each other. The newest last. */
interface Tier {
  readonly long: Queued[]
  readonly short: Queued[]
}

export class BroadcastQueue {
  readonly #tiers: Tier[] = []
  /** What else is in a tier has been replaced. */
  readonly #latest = new Map<number, Queued>()
  #ids = 0

  get size(): number {
    return this.#latest.size
  }

  add(broadcast: Broadcast): void {
    const queued = { broadcast, id: ++this.#ids }
    this.#latest.set(broadcast.about, queued)
    this.#insert(0, queued)
  }

  /** As much as fits; counts as sent. `nodes`: as many as there are. */
  take(limitBytes: number, nodes: number): Broadcast[] {
    if (this.#latest.size === 0) return []
    const limit = LAN.retransmitMult * Math.ceil(Math.log10(nodes + 1))
    const taken: Broadcast[] = []
    const again: [number, Queued][] = []
    let freeBytes = limitBytes
    for (let sent = 0; sent < this.#tiers.length; sent++) {
      const tier = this.#tiers[sent] as Tier
      for (const list of [tier.long, tier.short])
        for (let next = this.#newest(list); next !== undefined; next = this.#newest(list)) {
          const bytes = broadcastBytes(next.broadcast) + LAN.compoundBytes
          if (bytes > freeBytes) break
          freeBytes -= bytes
          list.pop()
          taken.push(next.broadcast)
          if (sent + 1 >= limit) this.#latest.delete(next.broadcast.about)
          else again.push([sent + 1, next])
        }
    }
    for (const [sent, queued] of again) this.#insert(sent, queued)
    return taken
  }

  #newest(list: Queued[]): Queued | undefined {
    for (;;) {
      const last = list.at(-1)
      if (last === undefined || this.#latest.get(last.broadcast.about) === last) return last
      list.pop()
    }
  }

  #insert(sent: number, queued: Queued): void {
    while (this.#tiers.length <= sent) this.#tiers.push({ long: [], short: [] })
    const { long, short } = this.#tiers[sent] as Tier
    const list = queued.broadcast.kind === 'alive' ? long : short
    let at = list.length
    while (at > 0 && (list[at - 1] as Queued).id > queued.id) at--
    if (at === list.length) list.push(queued)
    else list.splice(at, 0, queued)
  }
}

// Peers that announce themselves on the local network. libp2p only notes their addresses and dials nobody: the connector does.
// Members or not is for admission to say.
import { mdns } from '@libp2p/mdns'
import type { Clock } from '../core/clock.ts'
import type { KnownPeer } from './connector.ts'

/** Anybody in the building can announce what they like: this many are tried. */
const MAX_NEARBY = 64
/** They are asked every ten seconds; one that has been silent for some of these is gone. */
const FORGET_AFTER_MS = 60_000

export class Nearby {
  readonly #clock: Clock
  /** The one that was heard longest ago first. */
  readonly #heard = new Map<string, KnownPeer & { readonly at: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** libp2p's multicast DNS (libp2p specs, discovery/mdns.md), listened to from here. */
  readonly discovery = (components: Parameters<ReturnType<typeof mdns>>[0]): ReturnType<ReturnType<typeof mdns>> => {
    const service = mdns({ serviceTag: 'cloudskin.local' })(components)
    service.addEventListener('peer', ({ detail: { id, multiaddrs } }) =>
      this.#hear(id.toString(), multiaddrs.map(String)),
    )
    return service
  }

  /** Those that announced themselves lately, without the ones among `others`. */
  beside(others: readonly KnownPeer[]): readonly KnownPeer[] {
    const names = new Set(others.map(({ peer }) => peer))
    const since = this.#clock.mono() - FORGET_AFTER_MS
    return [...this.#heard.values()].filter(({ peer, at }) => at > since && !names.has(peer))
  }

  #hear(peer: string, addresses: readonly string[]): void {
    this.#heard.delete(peer)
    this.#heard.set(peer, { peer, addresses, at: this.#clock.mono() })
    if (this.#heard.size > MAX_NEARBY) this.#heard.delete(this.#heard.keys().next().value ?? '')
  }
}

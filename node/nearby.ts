// Peers that announce themselves on the local network. libp2p only notes their addresses and dials nobody: the connector does.
// Members or not is for admission to say.
import { mdns } from '@libp2p/mdns'
import type { Clock } from '../core/clock.ts'
import { addressesOf, type KnownPeer } from './connector.ts'

/** Anybody in the building can announce what they like: this many are tried. */
const MAX_NEARBY = 64
/** They are asked every ten seconds; one that has been silent for some of these is gone. */
const FORGET_AFTER_MS = 60_000
/** Of what is announced in a member's name, this many addresses go before its own: more could use up all the time of a dial. */
const MAX_FIRST = 3

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
      // As members write their addresses, so that one that both name is one.
      this.#hear(id.toString(), addressesOf(id.toString(), multiaddrs.map(String)).map(String)),
    )
    return service
  }

  /**
   * `members`, and behind them the others that announced themselves lately. A member that did is looked for there first: after a
   * power cut the router may have handed out other addresses than the ones that are known.
   */
  joinedTo(members: readonly KnownPeer[]): readonly KnownPeer[] {
    const since = this.#clock.mono() - FORGET_AFTER_MS
    const heard = new Map([...this.#heard].filter(([, { at }]) => at > since))
    const known = members.map((member) => {
      const news = heard.get(member.peer)?.addresses
      heard.delete(member.peer)
      if (news === undefined) return member
      return { peer: member.peer, addresses: [...new Set([...news.slice(0, MAX_FIRST), ...member.addresses, ...news])] }
    })
    return [...known, ...[...heard.values()].map(({ peer, addresses }) => ({ peer, addresses }))]
  }

  #hear(peer: string, addresses: readonly string[]): void {
    this.#heard.delete(peer)
    this.#heard.set(peer, { peer, addresses, at: this.#clock.mono() })
    if (this.#heard.size > MAX_NEARBY) this.#heard.delete(this.#heard.keys().next().value ?? '')
  }
}

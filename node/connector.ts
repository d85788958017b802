// Keeps this peer connected to the members it knows: dials those that are missing, patiently, a few at a time.
// It also tells libp2p where members are, so that whoever has something to say to one of them can reach it.
import type { Libp2p, Logger } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { deadline, type Startable, Tasks } from '../core/lifecycle.ts'
import { type Random, shuffled } from '../core/random.ts'
import type { PeerKey } from '../protocols/kit/types.ts'

const LOOK_EVERY_MS = 2_000
const AT_ONCE = 4
/** Some of a peer's addresses may lead nowhere, and libp2p tries them one after the other. */
const DIAL_TIMEOUT_MS = 12_000
/** Doors into the mesh: through any of them the state protocol learns of the others, and makes the links that it wants. */
const WANTED = 4
const BACKOFF_MS = 1_000
const BACKOFF_MAX_MS = 60_000

export interface KnownPeer {
  readonly peer: PeerKey
  readonly addresses: readonly string[]
}

export interface ConnectorInit {
  readonly node: Pick<Libp2p, 'peerId' | 'getPeers' | 'dial' | 'peerStore'>
  readonly known: () => readonly KnownPeer[]
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

export class Connector implements Startable {
  readonly #init: ConnectorInit
  /** Tries since the peer was last seen connected: one that hangs up at once is no better than one that does not answer. */
  readonly #backoff = new Map<PeerKey, { readonly until: number; readonly tries: number }>()
  readonly #dialling = new Set<PeerKey>()
  /** What the peer store was last told of each peer. */
  readonly #told = new Map<PeerKey, string>()
  #tasks: Tasks | undefined

  constructor(init: ConnectorInit) {
    this.#init = init
  }

  async start(): Promise<void> {
    if (this.#tasks !== undefined) return
    const { clock, random, log } = this.#init
    const tasks = new Tasks({ onError: (error, name) => log.error('%s: %e', name, error) })
    this.#tasks = tasks
    const pause = (): number => LOOK_EVERY_MS * (0.75 + random.next() / 2)
    tasks.every('connecting to members', clock, pause, () => this.#look(tasks))
  }

  async stop(): Promise<void> {
    const tasks = this.#tasks
    this.#tasks = undefined
    await tasks?.stop()
    this.#backoff.clear()
    this.#told.clear()
  }

  async #look(tasks: Tasks): Promise<void> {
    const { node, clock, random } = this.#init
    const connected = new Set(node.getPeers().map((peer) => peer.toString()))
    const known = this.#init.known().filter(({ peer }) => peer !== node.peerId.toString())
    await this.#tell(known)
    this.#forget(known, connected)
    const now = clock.mono()
    const missing = known.filter(
      ({ peer, addresses }) =>
        addresses.length > 0 &&
        !connected.has(peer) &&
        !this.#dialling.has(peer) &&
        (this.#backoff.get(peer)?.until ?? 0) <= now,
    )
    const room = Math.min(WANTED - connected.size, AT_ONCE) - this.#dialling.size
    for (const one of shuffled(missing, random).slice(0, Math.max(0, room)))
      tasks.run(`dialling ${one.peer}`, (signal) => this.#dial(one, signal))
  }

  /** The peer store of libp2p learns what changed: a probe or an offer may be for a peer that is not connected. */
  async #tell(known: readonly KnownPeer[]): Promise<void> {
    const { node, log } = this.#init
    for (const { peer, addresses } of known) {
      const news = addresses.join(' ')
      if (addresses.length === 0 || this.#told.get(peer) === news) continue
      this.#told.set(peer, news)
      try {
        // Beside what it knows: the way that a person gave may be the only one that leads there. libp2p lets old ones expire.
        await node.peerStore.merge(peerIdFromString(peer), { multiaddrs: addressesOf(peer, addresses) })
      } catch (error) {
        log('the addresses of %s cannot be kept: %s', peer, messageOf(error))
      }
    }
  }

  #forget(known: readonly KnownPeer[], connected: ReadonlySet<PeerKey>): void {
    const names = new Set(known.map(({ peer }) => peer))
    for (const peer of this.#backoff.keys()) if (connected.has(peer) || !names.has(peer)) this.#backoff.delete(peer)
    for (const peer of this.#told.keys()) if (!names.has(peer)) this.#told.delete(peer)
  }

  async #dial({ peer, addresses }: KnownPeer, signal: AbortSignal): Promise<void> {
    const { node, clock, random, log } = this.#init
    const tries = (this.#backoff.get(peer)?.tries ?? 0) + 1
    this.#dialling.add(peer)
    try {
      await node.dial(addressesOf(peer, addresses), { signal: deadline(DIAL_TIMEOUT_MS, signal) })
    } catch (error) {
      log('%s cannot be reached (try %d): %s', peer, tries, messageOf(error))
    } finally {
      this.#dialling.delete(peer)
      const wait = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** tries) * (0.5 + random.next() / 2)
      this.#backoff.set(peer, { tries, until: clock.mono() + wait })
    }
  }
}

/** The addresses of `peer` that are addresses, each ending in its id; one that names another peer is left out. */
export function addressesOf(peer: PeerKey, addresses: readonly string[]): Multiaddr[] {
  const id = peerIdFromString(peer).toString()
  return addresses.flatMap((text) => {
    try {
      const address = multiaddr(text)
      const last = address.getComponents().at(-1)
      if (last?.name !== 'p2p') return [address.encapsulate(`/p2p/${id}`)]
      return last.value !== undefined && peerIdFromString(last.value).toString() === id ? [address] : []
    } catch {
      return []
    }
  })
}

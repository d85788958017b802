// Keeps this peer connected to the members it knows: dials those that are missing, patiently, a few at a time.
import type { Libp2p, Logger } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { type Startable, Tasks } from '../core/lifecycle.ts'
import { type Random, shuffled } from '../core/random.ts'
import type { PeerKey } from '../protocols/kit/types.ts'

const LOOK_EVERY_MS = 2_000
const AT_ONCE = 4
const DIAL_TIMEOUT_MS = 6_000
/** A small mesh is connected in full; a bigger one keeps this many links per peer. */
const WANTED = 16
const BACKOFF_MS = 1_000
const BACKOFF_MAX_MS = 60_000

export interface KnownPeer {
  readonly peer: PeerKey
  readonly addresses: readonly string[]
}

export interface ConnectorInit {
  readonly node: Libp2p
  readonly known: () => readonly KnownPeer[]
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

export class Connector implements Startable {
  readonly #init: ConnectorInit
  readonly #backoff = new Map<PeerKey, { until: number; failures: number }>()
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
    tasks.every('connecting to members', clock, pause, (signal) => this.#look(signal))
  }

  async stop(): Promise<void> {
    const tasks = this.#tasks
    this.#tasks = undefined
    await tasks?.stop()
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { node, known, clock, random } = this.#init
    const connected = new Set(node.getPeers().map((peer) => peer.toString()))
    const room = WANTED - connected.size
    const now = clock.mono()
    const missing = known().filter(
      ({ peer, addresses }) =>
        peer !== node.peerId.toString() &&
        addresses.length > 0 &&
        !connected.has(peer) &&
        (this.#backoff.get(peer)?.until ?? 0) <= now,
    )
    await Promise.all(
      shuffled(missing, random)
        .slice(0, Math.max(0, Math.min(room, AT_ONCE)))
        .map((one) => this.#dial(one, signal)),
    )
  }

  async #dial({ peer, addresses }: KnownPeer, signal: AbortSignal): Promise<void> {
    const { node, clock, random, log } = this.#init
    try {
      await node.dial(addressesOf(peer, addresses), {
        signal: AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]),
      })
      this.#backoff.delete(peer)
    } catch (error) {
      const failures = (this.#backoff.get(peer)?.failures ?? 0) + 1
      const wait = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** failures) * (0.5 + random.next() / 2)
      this.#backoff.set(peer, { failures, until: clock.mono() + wait })
      log('%s cannot be reached (try %d): %s', peer, failures, messageOf(error))
    }
  }
}

/** The addresses of `peer` that are addresses, each ending in its id. */
export function addressesOf(peer: PeerKey, addresses: readonly string[]): Multiaddr[] {
  const id = peerIdFromString(peer)
  return addresses.flatMap((text) => {
    try {
      const address = multiaddr(text)
      return [text.includes('/p2p/') ? address : address.encapsulate(`/p2p/${id}`)]
    } catch {
      return []
    }
  })
}

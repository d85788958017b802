// Where members were found before, kept in the home: after a power cut everywhere, nobody else could tell a peer whom to dial.
// Addresses that a person gave (a ticket's, --join) are kept with them, and tried again until they answer.
import type { Logger } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { type Startable, Tasks } from '../core/lifecycle.ts'
import * as s from '../core/shape.ts'
import type { PeerKey } from '../protocols/kit/types.ts'
import type { RecordStore } from './cells/types.ts'
import type { KnownPeer } from './connector.ts'
import type { NodeErrorCode } from './errors.ts'

/** More doors than a peer keeps links, so that some of them open. */
const MAX_CONTACTS = 64
const MAX_ADDRESSES = 16
const MAX_ADDRESS_CHARS = 256
/** A contact that nobody has seen for as long as a certificate lives has left, or knows itself where to come. */
const FORGET_AFTER_MS = 30 * 24 * 3_600_000
/** What is not written down yet when the power goes is found again by the others. */
const WRITE_EVERY_MS = 5_000
/** How old the kept time of a contact may get while nothing else changes: a write per contact and day. */
const REFRESH_MS = 24 * 3_600_000

const contactShape = s.object({
  addresses: s.list(s.text(MAX_ADDRESS_CHARS), MAX_ADDRESSES),
  seenAt: s.integer(),
})
type Contact = s.Infer<typeof contactShape>

export interface ContactsInit {
  readonly records: RecordStore
  /** Multiaddrs that end in a peer id, e.g. of a ticket. */
  readonly given: readonly string[]
  /** The members that the mesh tells of now, and where they are. */
  readonly live: () => readonly KnownPeer[]
  /** True for a peer that has said good-bye. */
  readonly hasLeft: (peer: PeerKey) => boolean
  readonly clock: Clock
  readonly log: Logger
}

export class Contacts implements Startable {
  readonly #init: ContactsInit
  readonly #kept = new Map<PeerKey, Contact>()
  #tasks: Tasks | undefined

  constructor(init: ContactsInit) {
    this.#init = init
  }

  /** Reads what was kept, and writes what was given down at once. */
  async start(): Promise<void> {
    if (this.#tasks !== undefined) return
    const { records, clock, log } = this.#init
    const tasks = new Tasks({ onError: (error, name) => log.error('%s: %e', name, error) })
    this.#tasks = tasks
    for (const [peer, bytes] of await records.list()) {
      try {
        this.#kept.set(peer, s.fromCbor<Contact, NodeErrorCode>(bytes, contactShape, 'HOME_UNREADABLE'))
      } catch (error) {
        log.error('the contact %s is dropped: %s', peer, messageOf(error))
        await records.remove(peer)
      }
    }
    for (const [peer, addresses] of byPeer(this.#init.given)) {
      const before = this.#kept.get(peer)?.addresses ?? []
      await this.#keep(peer, [...new Set([...addresses, ...before])])
    }
    tasks.every(
      'keeping contacts',
      clock,
      () => WRITE_EVERY_MS,
      () => this.#write(),
    )
  }

  async stop(): Promise<void> {
    const tasks = this.#tasks
    this.#tasks = undefined
    await tasks?.stop()
    if (tasks !== undefined) await this.#write()
  }

  /** Whom to be connected with: those that the mesh tells of, and the contacts of before that it says nothing about. */
  known(): readonly KnownPeer[] {
    const { live, hasLeft } = this.#init
    const now = live()
    const names = new Set(now.map(({ peer }) => peer))
    const before = [...this.#kept].filter(([peer]) => !names.has(peer) && !hasLeft(peer))
    return [...now, ...before.map(([peer, { addresses }]) => ({ peer, addresses }))]
  }

  async #write(): Promise<void> {
    const { hasLeft, records, clock } = this.#init
    // Those that are kept already first: of a mesh with more members, the same ones stay.
    const live = this.#init.live().filter(({ addresses }) => addresses.length > 0)
    const [old, fresh] = [
      live.filter(({ peer }) => this.#kept.has(peer)),
      live.filter(({ peer }) => !this.#kept.has(peer)),
    ]
    const chosen = [...old, ...fresh].slice(0, MAX_CONTACTS)
    for (const { peer, addresses } of chosen) await this.#keep(peer, addresses)
    const names = new Set(chosen.map(({ peer }) => peer))
    const others = [...this.#kept]
      .filter(([peer, { seenAt }]) => !names.has(peer) && !hasLeft(peer) && clock.now() - seenAt < FORGET_AFTER_MS)
      .sort(([, a], [, b]) => b.seenAt - a.seenAt)
      .slice(0, MAX_CONTACTS - chosen.length)
    for (const [peer] of others) names.add(peer)
    for (const peer of [...this.#kept.keys()]) {
      if (names.has(peer)) continue
      await records.remove(peer)
      this.#kept.delete(peer)
    }
  }

  async #keep(peer: PeerKey, all: readonly string[]): Promise<void> {
    const addresses = all.filter((address) => address.length <= MAX_ADDRESS_CHARS).slice(0, MAX_ADDRESSES)
    const before = this.#kept.get(peer)
    const now = this.#init.clock.now()
    const same = before !== undefined && before.addresses.join(' ') === addresses.join(' ')
    if (addresses.length === 0 || (same && now - before.seenAt < REFRESH_MS)) return
    const contact: Contact = { addresses, seenAt: now }
    // Only what is on the disk counts as kept: the next turn tries the rest again.
    await this.#init.records.put(peer, s.toCbor(contact))
    this.#kept.set(peer, contact)
  }
}

function byPeer(given: readonly string[]): Map<PeerKey, string[]> {
  const out = new Map<PeerKey, string[]>()
  for (const text of given) {
    const peer = multiaddr(text)
      .getComponents()
      .findLast(({ name }) => name === 'p2p')?.value
    if (peer !== undefined) out.set(peer, [...(out.get(peer) ?? []), text])
  }
  return out
}

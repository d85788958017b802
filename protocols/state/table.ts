// What this peer holds of the mesh: one entry per peer, and a journal of what changed, which every link reads at its own pace.
import type { PeerKey } from '../kit/types.ts'
import type { Claim } from './claim.ts'
import { compareStamps, mergeRecords, type Stamp } from './merge.ts'
import { JOURNAL_ENTRIES, MAX_PEERS } from './protocol.ts'
import type { SignedRecord } from './record.ts'
import type { MemberStatus } from './types.ts'

export interface Suspicion extends Stamp {
  readonly sinceMs: number
  /** One per accuser, the first one first. */
  readonly claims: readonly Claim[]
}

/** No time at all. */
export const NO_TIME = -1

/**
 * What is known of one peer. All times are monotonic milliseconds, and whole ones: there are many entries, and those are what an
 * engine keeps without a box.
 */
export class Entry {
  readonly peer: PeerKey
  /** Where links keep what their remote end knows of this entry. */
  readonly slot: number
  signed: SignedRecord | undefined = undefined
  /** `forgotten`: no longer listed, and kept so that nobody who still holds it brings it back. */
  status: MemberStatus | 'forgotten' | 'unknown' = 'unknown'
  sinceMs = 0
  /** When its newest version arrived, from whomever. */
  learntMs = 0
  urgentMs = NO_TIME
  suspicion: Suspicion | undefined = undefined
  /** The newest that a link says to have, while that is not held; and when it is time to ask for it. */
  wanted: Stamp | undefined = undefined
  /** Who said so last, and when it is time to ask. */
  wantedFrom: PeerKey = ''
  askMs = NO_TIME
  /** The newest version of which somebody said that its peer has failed since. */
  gone: Stamp | undefined = undefined
  rttMs: number | undefined = undefined
  /** It is told to the whole mesh. */
  isGlobal = false
  /** Its standing within its zone. */
  rank = 0

  constructor(peer: PeerKey, slot: number) {
    this.peer = peer
    this.slot = slot
  }

  get zone(): string | undefined {
    return this.signed?.record.zone
  }

  get isPresent(): boolean {
    return this.status === 'alive' || this.status === 'suspect'
  }

  get isListed(): boolean {
    return this.signed !== undefined && this.status !== 'forgotten'
  }
}

const NOTHING: Stamp = { incarnation: 0, version: 0 }

export class Table {
  readonly #entries = new Map<PeerKey, Entry>()
  /** Entries that changed, oldest first; the first one has number `#base`. */
  #journal: Entry[] = []
  #base = 0
  #slots = 0
  #present = 0

  get(peer: PeerKey): Entry | undefined {
    return this.#entries.get(peer)
  }

  /** The entry of `peer`, made if there is room; the longest forgotten gives way. */
  ensure(peer: PeerKey): Entry | undefined {
    const known = this.#entries.get(peer)
    if (known !== undefined) return known
    if (this.#entries.size >= MAX_PEERS && !this.#makeRoom()) return undefined
    const entry = new Entry(peer, this.#slots++)
    this.#entries.set(peer, entry)
    return entry
  }

  all(): IterableIterator<Entry> {
    return this.#entries.values()
  }

  /** Members alive or suspected, this peer included. */
  get present(): number {
    return this.#present
  }

  /** How many slots have been given so far. */
  get slots(): number {
    return this.#slots
  }

  /** Number of the next change. */
  get end(): number {
    return this.#base + this.#journal.length
  }

  stampOf(peer: PeerKey): Stamp {
    return this.#entries.get(peer)?.signed ?? NOTHING
  }

  /** What changed from number `cursor` on; everything, where that is too long ago to tell. */
  *since(cursor: number): Generator<Entry> {
    if (cursor < this.#base) yield* this.#entries.values()
    else for (let at = cursor - this.#base; at < this.#journal.length; at++) yield this.#journal[at] as Entry
  }

  /** Keeps a verified record if it holds against the one there. */
  store(entry: Entry, signed: SignedRecord, nowMs: number): boolean {
    const mine = entry.signed
    if (mine !== undefined && mergeRecords(mine, signed) === mine) return false
    entry.signed = signed
    entry.learntMs = Math.floor(nowMs)
    if (entry.wanted !== undefined && compareStamps(entry.wanted, signed) <= 0) {
      entry.wanted = undefined
      entry.askMs = NO_TIME
    }
    this.#journal.push(entry)
    if (this.#journal.length > 2 * JOURNAL_ENTRIES) {
      this.#base += this.#journal.length - JOURNAL_ENTRIES
      this.#journal = this.#journal.slice(-JOURNAL_ENTRIES)
    }
    return true
  }

  setStatus(entry: Entry, status: Entry['status'], nowMs: number): void {
    const before = entry.isPresent
    entry.status = status
    entry.sinceMs = Math.floor(nowMs)
    this.#present += Number(entry.isPresent) - Number(before)
  }

  /** Holds no record of it any more. */
  drop(entry: Entry): void {
    this.setStatus(entry, 'unknown', entry.sinceMs)
    entry.signed = undefined
    entry.suspicion = undefined
    entry.isGlobal = false
  }

  #makeRoom(): boolean {
    for (const [peer, { status, signed, wanted }] of this.#entries) {
      if (status !== 'forgotten' && (signed !== undefined || wanted !== undefined)) continue
      this.#entries.delete(peer)
      return true
    }
    return false
  }
}

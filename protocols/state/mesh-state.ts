// What the parts of the state machine share: who we are, what we hold, and what we ask of the world.
import type { Random } from '../../core/random.ts'
import type { PeerKey } from '../kit/types.ts'
import type { Accusation } from './claim.ts'
import type { Link } from './links.ts'
import type { Stamp } from './merge.ts'
import type { Message } from './messages.ts'
import type { Entry, Table } from './table.ts'
import type { StateStatus, ZoneSummary } from './types.ts'

/** What the machine wants done. Nothing of it answers at once: answers come back as events. */
export interface Effects {
  /** On the link to `peer`. */
  send(peer: PeerKey, message: Message): void
  /** Make a link: `linkUp` or `openFailed` follows. */
  open(peer: PeerKey): void
  /** Give the link up, once what was sent has gone out. No `linkDown` follows. */
  close(peer: PeerKey): void
  /** Sign what this peer says now under its next version: `sealed` follows. */
  seal(urgent: boolean): void
  /** An earlier life of this peer signed `stamp`: what it says next has to be above that. */
  supersede(stamp: Stamp): void
  /** What this peer says of its zone, from the next version on; undefined: nothing. */
  summarize(summary: ZoneSummary | undefined): void
  /** Sign a suspicion: `accused` follows. */
  accuse(accusation: Accusation): void
  /** A member's record or status is another one, or it is not listed any more. */
  changed(peer: PeerKey): void
  /** Call `wake` then, and not before. */
  wakeAt(monoMs: number): void
}

type Counters = { -readonly [K in keyof StateStatus['counters']]: number }

export interface MeshState {
  readonly self: PeerKey
  readonly table: Table
  readonly links: Map<PeerKey, Link>
  readonly effects: Effects
  readonly random: Random
  readonly counters: Counters
  /** Monotonic milliseconds of the event being handled. */
  nowMs: number
  /** The own zone, and whether the mesh is too large for everybody to hear of everybody. */
  zone: string
  isZoned: boolean
  /** Set once this peer has said goodbye. */
  left: boolean
}

/** Changes the status of an entry, and says so. */
export function become(mesh: MeshState, entry: Entry, status: Entry['status']): void {
  if (entry.status === status) return
  if (status !== 'suspect') entry.suspicion = undefined
  mesh.table.setStatus(entry, status, mesh.nowMs)
  mesh.effects.changed(entry.peer)
}

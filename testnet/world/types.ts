// What a world of simulated participants is made of. Participants are numbers, time is in milliseconds.
import type { Random } from '../../core/random.ts'

/** A participant, whatever protocol it speaks; called by the world, never while it is being called. */
export interface Participant<M> {
  receive(from: number, message: M, via: 'link' | 'datagram'): void
  /** A link was opened by `peer`, or on our request. `false` refuses one that is not ours: its opener gets `openFailed`. */
  // biome-ignore lint/suspicious/noConfusingVoidType: most refuse nothing, and return nothing.
  linkUp(peer: number, outbound: boolean): boolean | void
  linkDown(peer: number): void
  openFailed(peer: number): void
  wake(): void
}

/** What a participant may do. Once it has crashed, nothing that it does has an effect. */
export interface Port<M> {
  readonly index: number
  /** Its own seeded stream. */
  readonly random: Random
  /** Its own monotonic clock, which may drift. */
  mono(): number
  /** Its own wall clock, which may drift and be wrong. */
  wall(): number
  /** `linkUp` or `openFailed` follows; nothing while there is a link, or one being opened. */
  open(peer: number): void
  /** The other end gets `linkDown`, this one nothing. */
  close(peer: number): void
  /** Reliable and in order, as long as the link lives; nothing where there is none. */
  send(peer: number, message: M, bytes: number): void
  /** May be lost, doubled, or overtaken. */
  datagram(peer: number, message: M, bytes: number): void
  /** `wake` at this time of the own monotonic clock; one timer, the last one set. Infinity: none. */
  wakeAt(monoMs: number): void
}

export interface NetworkModel {
  /** One-way delay of one packet, jitter included. */
  delayMs(from: number, to: number, random: Random): number
}

/** Whether packets get from one to the other. */
export type Reach = (from: number, to: number) => boolean

/** How a participant ends: its process, whose connections the system closes, or its machine, of which nothing is heard any more. */
export type CrashKind = 'closed' | 'silent'

export interface WorldInit {
  readonly seed: number
  readonly count: number
  readonly model: NetworkModel
  /** Share of packets lost. @default 0 */
  readonly lossRate?: number
  /** Share of datagrams that arrive twice. @default 0 */
  readonly duplicateRate?: number
  /** Datagrams are delayed by up to this much more, each by its own. @default 0 */
  readonly reorderMs?: number
  /** Of each participant's way out. @default unbounded */
  readonly bytesPerSecond?: number
}

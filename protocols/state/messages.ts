// What the ends of a link tell each other: bytes <-> checked values. Counts and lengths are bounded while decoding.
//
// A peer id takes 54 bytes, and is named in most messages. So each end of a link introduces a peer, with its incarnation, when it
// first names it, and calls it by a small number from then on.
import { CodedError } from '../../core/errors.ts'
import * as s from '../../core/shape.ts'
import type { PeerKey } from '../kit/types.ts'
import { type Claim, claimOf } from './claim.ts'
import type { Stamp } from './merge.ts'
import { MAX_HOT_BYTES, MAX_NAMES, MAX_PEERS, MAX_RECORD_BYTES, MAX_WANTS } from './protocol.ts'
import {
  type Body,
  bodyOf,
  incarnationShape,
  peerShape,
  type SignedRecord,
  type Verify,
  versionShape,
} from './record.ts'

/** A version of a peer's record, held or asked for. */
export interface Named extends Stamp {
  readonly peer: PeerKey
}

/** Asks to ping `about`; `seq` comes back with the answer. */
export interface Ask {
  readonly seq: number
  readonly about: PeerKey
}

export interface Found {
  readonly seq: number
  readonly alive: boolean
}

/** One message of a link. Every part may be empty; an empty message is proof of life. */
export interface Message {
  /** What the sender holds that the receiver may not have heard of. */
  readonly haves: readonly Named[]
  /** Those of the haves that the sender lists as failed, for receivers that have never heard of them. */
  readonly gone: readonly PeerKey[]
  /** What the sender would like to have, with the version that it holds (0: none). */
  readonly wants: readonly Named[]
  readonly bodies: readonly Body[]
  readonly claims: readonly Claim[]
  /** The links of the sender, whenever they have changed. */
  readonly links: readonly PeerKey[] | undefined
  readonly pings: readonly number[]
  readonly acks: readonly number[]
  readonly asks: readonly Ask[]
  readonly founds: readonly Found[]
  /** What is had, or wanted, should not wait for the next beat. */
  readonly urgent: boolean
  /** The sender gives the link up, and is well. */
  readonly bye: boolean
}

export const EMPTY: Message = {
  haves: [],
  gone: [],
  wants: [],
  bodies: [],
  claims: [],
  links: undefined,
  pings: [],
  acks: [],
  asks: [],
  founds: [],
  urgent: false,
  bye: false,
}

/** A body with the bytes that it is sent as. */
export interface OutgoingBody extends Body {
  readonly signed: SignedRecord
  readonly withCold: boolean
}

export function outgoing(signed: SignedRecord, withCold: boolean): OutgoingBody {
  const { peer, incarnation, version } = signed
  return { peer, incarnation, version, signed, withCold, open: () => signed }
}

/** A claim may name a peer that the receiver has to be told of in many messages more: links are bounded by their names. */
const MAX_CLAIMS = 4 * MAX_PEERS
/** A peer with more links than this has given up on being a peer. */
const MAX_LINKS_TOLD = 256
const MAX_CONTROLS = 1_024
const nameShape = s.integer(0, MAX_NAMES - 1)
const seqShape = s.integer(0, 2 ** 32)
const pairs = (maxPairs: number): s.Shape<number[]> => s.list(versionShape, 2 * maxPairs)

const wireShape = s.object({
  /** number, peer, incarnation */
  d: s.optional(s.list(s.object({ n: nameShape, p: peerShape, i: incarnationShape }), MAX_NAMES)),
  /** number, version, number, version, ... */
  h: s.optional(pairs(MAX_NAMES)),
  g: s.optional(s.list(nameShape, MAX_NAMES)),
  w: s.optional(pairs(MAX_WANTS)),
  b: s.optional(
    s.list(
      s.object({
        n: nameShape,
        v: versionShape,
        h: s.bytes(MAX_HOT_BYTES),
        s: s.bytes(64, 64),
        c: s.optional(s.bytes(MAX_RECORD_BYTES)),
      }),
      MAX_PEERS,
    ),
  ),
  c: s.optional(s.list(s.object({ n: nameShape, v: versionShape, a: nameShape, s: s.bytes(64, 64) }), MAX_CLAIMS)),
  l: s.optional(s.list(nameShape, MAX_LINKS_TOLD)),
  p: s.optional(s.list(seqShape, MAX_CONTROLS)),
  k: s.optional(s.list(seqShape, MAX_CONTROLS)),
  /** sequence number, number of the peer, ... */
  a: s.optional(s.list(seqShape, 2 * MAX_CONTROLS)),
  /** sequence number, 1 when it lives and 0 when it is silent, ... */
  f: s.optional(s.list(seqShape, 2 * MAX_CONTROLS)),
  u: s.optional(s.boolean),
  /** goodbye */
  x: s.optional(s.boolean),
})
type Wire = s.Infer<typeof wireShape>

/** The names that one end of a link has given. */
export interface Names {
  /** The number of `peer` in the life that began with `incarnation`; introduces it by `introduce` where that is needed. */
  number(peer: PeerKey, incarnation: number, introduce: (number: number) => void): number
}

/** How a message is put, given the names that its link has. */
function wireOf(message: Message, names: Names, incarnationOf: (peer: PeerKey) => number): Wire {
  const d: { n: number; p: string; i: number }[] = []
  const stamped = ({ peer: p, incarnation: i }: { peer: PeerKey; incarnation: number }): number =>
    names.number(p, i, (n) => d.push({ n, p, i }))
  const named = (peer: PeerKey): number => stamped({ peer, incarnation: incarnationOf(peer) })
  const versions = (all: readonly Named[]): number[] => all.flatMap((one) => [stamped(one), one.version])
  const wire: { [K in keyof Wire]: Wire[K] | undefined } = {
    h: some(versions(message.haves)),
    g: some(message.gone.map(named)),
    w: some(versions(message.wants)),
    b: some(
      (message.bodies as readonly OutgoingBody[]).map((body) => ({
        n: stamped(body),
        v: body.version,
        h: body.signed.hot,
        s: body.signed.signature,
        ...(body.withCold ? { c: body.signed.cold } : {}),
      })),
    ),
    c: some(
      message.claims.map(({ about, incarnation, version, accuser, signature }) => ({
        n: stamped({ peer: about, incarnation }),
        v: version,
        a: named(accuser),
        s: signature,
      })),
    ),
    l: message.links?.map(named),
    p: some([...message.pings]),
    k: some([...message.acks]),
    a: some(message.asks.flatMap(({ seq, about }) => [seq, named(about)])),
    f: some(message.founds.flatMap(({ seq, alive }) => [seq, alive ? 1 : 0])),
    u: message.urgent ? true : undefined,
    x: message.bye ? true : undefined,
  }
  return { ...(d.length === 0 ? {} : { d }), ...wire } as Wire
}

function some<T>(items: T[]): T[] | undefined {
  return items.length === 0 ? undefined : items
}

/** One direction of a link, at the sender. */
export class Encoder implements Names {
  readonly #incarnationOf: (peer: PeerKey) => number
  /** Every life of a peer has a number of its own, so that one message may speak of two. */
  readonly #names = new Map<PeerKey, Map<number, number>>()
  #count = 0

  constructor(incarnationOf: (peer: PeerKey) => number) {
    this.#incarnationOf = incarnationOf
  }

  /** All names are given: the link has to be made anew. */
  get isFull(): boolean {
    return this.#count > MAX_NAMES - MAX_PEERS / 2
  }

  encode(message: Message): Uint8Array {
    return s.toCbor(wireOf(message, this, this.#incarnationOf))
  }

  number(peer: PeerKey, incarnation: number, introduce: (number: number) => void): number {
    const lives = this.#names.get(peer) ?? new Map<number, number>()
    this.#names.set(peer, lives)
    const known = lives.get(incarnation)
    if (known !== undefined) return known
    const number = this.#count++
    lives.set(incarnation, number)
    introduce(number)
    return number
  }
}

/** One direction of a link, at the receiver. */
export class Decoder {
  readonly #verify: Verify
  readonly #names = new Map<number, { readonly peer: PeerKey; readonly incarnation: number }>()

  constructor(verify: Verify) {
    this.#verify = verify
  }

  /** Throws `MESSAGE_MALFORMED`. */
  decode(bytes: Uint8Array): Message {
    const wire = s.fromCbor(bytes, wireShape, 'MESSAGE_MALFORMED')
    for (const { n, p, i } of wire.d ?? []) this.#names.set(n, { peer: p, incarnation: i })
    const versions = (flat: readonly number[] = []): Named[] =>
      even(flat).map(([number, version]) => ({ ...this.#named(number), version }))
    return {
      haves: versions(wire.h),
      gone: (wire.g ?? []).map((number) => this.#named(number).peer),
      wants: versions(wire.w),
      bodies: (wire.b ?? []).map(({ n, v, h, s: signature, c }) =>
        bodyOf({ ...this.#named(n), version: v }, { hot: h, signature, cold: c }, this.#verify),
      ),
      claims: (wire.c ?? []).map(({ n, v, a, s: signature }) => {
        const { peer: about, incarnation } = this.#named(n)
        return claimOf({ about, incarnation, version: v }, this.#named(a).peer, signature, this.#verify)
      }),
      links: wire.l?.map((number) => this.#named(number).peer),
      pings: wire.p ?? [],
      acks: wire.k ?? [],
      asks: even(wire.a).map(([seq, number]) => ({ seq, about: this.#named(number).peer })),
      founds: even(wire.f).map(([seq, alive]) => ({ seq, alive: alive === 1 })),
      urgent: wire.u === true,
      bye: wire.x === true,
    }
  }

  #named(number: number): { readonly peer: PeerKey; readonly incarnation: number } {
    const known = this.#names.get(number)
    if (known === undefined) throw malformed(`it names number ${number}, which was never introduced`)
    return known
  }
}

function even(flat: readonly number[] = []): (readonly [number, number])[] {
  if (flat.length % 2 !== 0) throw malformed('a list of pairs has an odd length')
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] ?? 0, flat[2 * i + 1] ?? 0])
}

function malformed(message: string): CodedError<'MESSAGE_MALFORMED'> {
  return new CodedError('MESSAGE_MALFORMED', `malformed message: ${message}`)
}

/** Bytes of `message` on a link that has `names`: what `encode` would give, without the bytes. */
export function sizeOf(message: Message, names: Names, incarnationOf: (peer: PeerKey) => number): number {
  let defs = 0
  let count = 0
  const number = (peer: PeerKey, incarnation: number): number =>
    head(
      names.number(peer, incarnation, (n) => {
        count++
        defs += 1 + 3 * 2 + head(n) + head(peer.length) + peer.length + head(incarnation)
      }),
    )
  const named = (peer: PeerKey): number => number(peer, incarnationOf(peer))
  const part = (items: number, inside: () => number): number => (items === 0 ? 0 : 2 + head(items) + inside())
  const sum = <T>(all: readonly T[], of: (one: T) => number): number => all.reduce((total, one) => total + of(one), 0)
  const versions = (all: readonly Named[]): number =>
    sum(all, ({ peer, incarnation, version }) => number(peer, incarnation) + head(version))
  const bytes = (length: number): number => head(length) + length
  const { haves, gone, wants, bodies, claims, links, pings, acks, asks, founds, urgent, bye } = message
  const rest =
    part(2 * haves.length, () => versions(haves)) +
    part(gone.length, () => sum(gone, named)) +
    part(2 * wants.length, () => versions(wants)) +
    part(bodies.length, () =>
      sum(bodies as readonly OutgoingBody[], (body) => {
        const { hot, signature, cold } = body.signed
        const coldBytes = body.withCold ? 2 + bytes(cold.length) : 0
        const fixed = 1 + 4 * 2 + number(body.peer, body.incarnation) + head(body.version)
        return fixed + bytes(hot.length) + bytes(signature.length) + coldBytes
      }),
    ) +
    part(claims.length, () =>
      sum(claims, ({ about, incarnation, version, accuser, signature }) => {
        const fixed = 1 + 4 * 2 + number(about, incarnation) + head(version) + named(accuser)
        return fixed + bytes(signature.length)
      }),
    ) +
    (links === undefined ? 0 : 2 + head(links.length) + sum(links, named)) +
    part(pings.length, () => sum(pings, head)) +
    part(acks.length, () => sum(acks, head)) +
    part(2 * asks.length, () => sum(asks, ({ seq, about }) => head(seq) + named(about))) +
    part(2 * founds.length, () => sum(founds, ({ seq }) => head(seq) + 1)) +
    (urgent ? 3 : 0) +
    (bye ? 3 : 0)
  return 1 + rest + (count === 0 ? 0 : 2 + head(count) + defs)
}

/** Bytes of a CBOR head with this value (RFC 8949, 3). */
function head(value: number): number {
  if (value < 24) return 1
  if (value < 2 ** 8) return 2
  if (value < 2 ** 16) return 3
  return value < 2 ** 32 ? 5 : 9
}

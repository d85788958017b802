// How the two ends of a bulk stream come to a lane, or agree to do without. Whichever of them dialled the connection dials the
// lane too: that way is known to be open. What the opener of the stream says stands on the left:
//
//   it dialled           `ask`    `offer` or `none`    `taken` or `none`
//   it was dialled       `offer`  `taken` or `none`
//   no lane leads there  `none`
import type { TLSSocket } from 'node:tls'
import type { Connection, Logger } from '@libp2p/interface'
import type { Clock } from '../../core/clock.ts'
import { CodedError, messageOf } from '../../core/errors.ts'
import { deadline } from '../../core/lifecycle.ts'
import * as s from '../../core/shape.ts'
import type { KitErrorCode } from './errors.ts'
import type { FramedStream } from './framed-stream.ts'
import { connectLane, type LaneListener, type LaneOffer, laneHostOf, listenForLane } from './lane.ts'
import { okReply, readReply } from './request.ts'
import type { PeerKey, ProtocolSpec } from './types.ts'

/** One that takes longer to dial is behind a firewall. */
const DIAL_MS = 1_000
/** For each step of the agreement: a machine may be busy. */
const STEP_MS = 10_000
/** So long no lane is tried again with a peer to which none led. */
const FORGO_MS = 600_000
const MAX_FORGONE = 1_000

const sentence = s.union({
  ask: s.object({}),
  offer: s.object({ port: s.integer(1, 65_535), key: s.bytes(32, 32) }),
  taken: s.object({}),
  none: s.object({}),
})
type Sentence = s.Infer<typeof sentence>

/** What of a connection says where its other end is. */
export type Ends = Pick<Connection, 'remoteAddr' | 'direction'>

/** A stream on which nothing was said yet, and what it is for. */
export interface NewStream {
  readonly control: FramedStream
  readonly spec: ProtocolSpec
  readonly ends: Ends
  readonly signal: AbortSignal
}

export class Lanes {
  readonly #clock: Clock
  readonly #log: Logger
  /** Until when (monotonic) no lane is tried. */
  readonly #forgone = new Map<PeerKey, number>()

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
  }

  /** The opener's part: the lane, or undefined when the stream itself has to do. Rejects when the stream breaks, or is refused. */
  async open(stream: NewStream): Promise<TLSSocket | undefined> {
    const { peer } = stream.control
    const host = (this.#forgone.get(peer) ?? 0) > this.#clock.mono() ? undefined : laneHostOf(stream.ends.remoteAddr)
    const listener = host === undefined || stream.ends.direction === 'outbound' ? undefined : await this.#listen(host)
    try {
      if (listener !== undefined) return await this.#offered(stream, listener)
      if (host !== undefined && stream.ends.direction === 'outbound') return await this.#asked(stream, host)
      await say(stream, { kind: 'none' })
      return undefined
    } finally {
      listener?.close()
    }
  }

  /** The other end's part. */
  async answer(stream: NewStream): Promise<TLSSocket | undefined> {
    const first = await hear(stream)
    const host = laneHostOf(stream.ends.remoteAddr)
    if (first.kind === 'offer') {
      const socket = host === undefined ? undefined : await this.#dial(host, first, stream)
      await reply(stream, { kind: socket === undefined ? 'none' : 'taken' })
      return socket
    }
    if (first.kind !== 'ask') return undefined
    const listener = host === undefined ? undefined : await this.#listen(host)
    try {
      await reply(stream, listener === undefined ? { kind: 'none' } : { kind: 'offer', ...listener.offer })
      if (listener === undefined || (await hear(stream)).kind !== 'taken') return undefined
      return await listener.accepted(within(stream))
    } finally {
      listener?.close()
    }
  }

  async #asked(stream: NewStream, host: string): Promise<TLSSocket | undefined> {
    await say(stream, { kind: 'ask' })
    const answer = await hearReply(stream)
    if (answer.kind !== 'offer') return this.#forgo(stream)
    const socket = await this.#dial(host, answer, stream)
    await say(stream, { kind: socket === undefined ? 'none' : 'taken' })
    return socket ?? this.#forgo(stream)
  }

  async #offered(stream: NewStream, listener: LaneListener): Promise<TLSSocket | undefined> {
    await say(stream, { kind: 'offer', ...listener.offer })
    if ((await hearReply(stream)).kind !== 'taken') return this.#forgo(stream)
    return listener.accepted(within(stream))
  }

  async #listen(remote: string): Promise<LaneListener | undefined> {
    try {
      return await listenForLane(remote)
    } catch (error) {
      this.#log('no lane can be offered: %s', messageOf(error))
      return undefined
    }
  }

  async #dial(host: string, offer: LaneOffer, { control, signal }: NewStream): Promise<TLSSocket | undefined> {
    try {
      return await connectLane(host, offer, deadline(DIAL_MS, signal))
    } catch (error) {
      if (signal.aborted) throw signal.reason
      this.#log('no lane leads to %s: %s', control.peer, messageOf(error))
      return undefined
    }
  }

  #forgo({ control }: NewStream): undefined {
    this.#forgone.delete(control.peer)
    this.#forgone.set(control.peer, this.#clock.mono() + FORGO_MS)
    if (this.#forgone.size > MAX_FORGONE) this.#forgone.delete(this.#forgone.keys().next().value ?? '')
  }
}

function say({ control, signal }: NewStream, what: Sentence): Promise<void> {
  return control.send(s.toCbor(what), { signal })
}

/** As the answer to a request, for which a refused opener gets another one. */
function reply({ control, signal }: NewStream, what: Sentence): Promise<void> {
  return control.send(okReply(what), { signal })
}

async function hear(stream: NewStream): Promise<Sentence> {
  return s.fromCbor<Sentence, KitErrorCode>(await next(stream), sentence, 'MESSAGE_MALFORMED')
}

async function hearReply(stream: NewStream): Promise<Sentence> {
  return readReply(await next(stream), sentence, stream.control.peer, stream.spec)
}

async function next(stream: NewStream): Promise<Uint8Array> {
  const { control, spec } = stream
  const bytes = await control.receive({ signal: within(stream) })
  if (bytes !== undefined) return bytes
  throw new CodedError<KitErrorCode>('STREAM_ENDED', `${control.peer} closed ${spec.id} before it began`)
}

function within({ signal }: NewStream): AbortSignal {
  return deadline(STEP_MS, signal)
}

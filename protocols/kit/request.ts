// One request, one reply, on a stream of its own: the shape of most protocols here.
// A reply carries a status number (append-only) and a bounded text, so that a failure arrives as REMOTE_*.
import { CodedError, isAbort, isCoded, messageOf } from '../../core/errors.ts'
import * as s from '../../core/shape.ts'
import type { KitErrorCode } from './errors.ts'
import type { HandlerContext, MessageStream, Network, PeerKey, ProtocolSpec } from './types.ts'

/** Append-only. 0 is success; the rest say whether trying again makes sense. */
export const STATUS = { OK: 0, MALFORMED: 1, REFUSED: 2, BUSY: 3, FAILED: 4 } as const

const MAX_REASON_CHARS = 512

const replyShape = s.object({
  status: s.integer(0, 255),
  /** The remote's code, for `facts.remoteCode`. */
  code: s.optional(s.text(64)),
  reason: s.optional(s.text(MAX_REASON_CHARS)),
  body: s.optional(s.bytes(Number.MAX_SAFE_INTEGER)),
})

export interface RequestInit {
  readonly signal?: AbortSignal
}

/** Sends one CBOR-encoded request and resolves with the checked reply body. */
export async function request<T>(
  network: Network,
  peer: PeerKey,
  spec: ProtocolSpec,
  body: unknown,
  reply: s.Shape<T>,
  init: RequestInit = {},
): Promise<T> {
  const stream = await network.open(peer, spec, init)
  try {
    await stream.send(s.toCbor(body), init)
    const bytes = await stream.receive(init)
    if (bytes === undefined) throw kitError('STREAM_ENDED', `${peer} closed ${spec.id} without an answer`)
    const value = readReply(bytes, reply, peer, spec)
    await stream.close()
    return value
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(messageOf(error)))
    throw error
  }
}

/** Reads a reply written by {@link replyTo}; also for protocols that go on after the first answer. */
export function readReply<T>(bytes: Uint8Array, shape: s.Shape<T>, peer: PeerKey, spec: ProtocolSpec): T {
  const reply = s.fromCbor(bytes, replyShape, 'MESSAGE_MALFORMED')
  if (reply.status !== STATUS.OK) {
    const code: KitErrorCode =
      reply.status === STATUS.BUSY ? 'REMOTE_BUSY' : reply.status === STATUS.FAILED ? 'REMOTE_FAILED' : 'REMOTE_REFUSED'
    throw kitError(code, `${reply.reason ?? 'no reason given'} (said by peer ${peer})`, {
      peer,
      protocol: spec.id,
      remoteCode: reply.code,
    })
  }
  return s.fromCbor(reply.body ?? new Uint8Array(), shape, 'MESSAGE_MALFORMED')
}

export function okReply(body: unknown): Uint8Array {
  return s.toCbor({ status: STATUS.OK, body: s.toCbor(body) })
}

/** A refusal or failure as a reply: a coded error's own code and message travel, anything else is said to have failed. */
export function errorReply(error: unknown): Uint8Array {
  const coded = isCoded(error)
  return s.toCbor({
    status: statusOf(error),
    code: coded ? error.code.slice(0, 64) : undefined,
    reason: messageOf(error).slice(0, MAX_REASON_CHARS),
  })
}

/** The reply of a handler to what a request led to; a request that was no message counts against its sender as well. */
export function refusalTo(context: HandlerContext, error: unknown): Uint8Array {
  if (isCoded(error, 'MESSAGE_MALFORMED')) context.blame?.('MESSAGE_MALFORMED')
  return errorReply(error)
}

function statusOf(error: unknown): number {
  if (!isCoded(error)) return STATUS.FAILED
  if (error.code === 'REMOTE_BUSY') return STATUS.BUSY
  return error.code === 'MESSAGE_MALFORMED' ? STATUS.MALFORMED : STATUS.REFUSED
}

/** A handler that reads one request, answers it, and turns what `answer` throws into a refusal. */
export function serve<T>(
  shape: s.Shape<T>,
  answer: (body: T, context: HandlerContext) => Promise<unknown>,
): (stream: MessageStream, context: HandlerContext) => Promise<void> {
  return async (stream, context) => {
    const bytes = await stream.receive({ signal: context.signal })
    if (bytes === undefined) return
    let reply: Uint8Array
    try {
      reply = okReply(await answer(s.fromCbor(bytes, shape, 'MESSAGE_MALFORMED'), context))
    } catch (error) {
      if (isAbort(error) || context.signal.aborted) throw error
      reply = refusalTo(context, error)
    }
    await stream.send(reply, { signal: context.signal })
    await stream.close()
  }
}

function kitError(
  code: KitErrorCode,
  message: string,
  facts: Record<string, string | undefined> = {},
): CodedError<KitErrorCode> {
  return new CodedError(code, message, { facts })
}

// The four conversations, each end of each: opens, sends, checks, closes. What they mean is decided by the service.
import { CodedError, messageOf } from '../../core/errors.ts'
import { fromCbor, toCbor } from '../../core/shape.ts'
import { okReply, readReply, refusalTo } from '../kit/request.ts'
import type { MessageStream, Network, PeerKey, ProtocolSpec, StreamHandler } from '../kit/types.ts'
import { checkTensor, type Update, updateHash } from './average.ts'
import type { FederatedErrorCode } from './errors.ts'
import { bytesToFloats, floatBytes, versionOf } from './lineage.ts'
import { modelAnswerShape, modelShape, nothingShape, updateShape } from './messages.ts'
import { FL_MODEL, FL_UPDATE } from './protocol.ts'
import type { RoundKey } from './round-types.ts'
import { receivePieces, sendPieces } from './transfer.ts'
import type { Lineage, TaskDescriptor } from './types.ts'

interface Init {
  readonly signal: AbortSignal
}

/** Sends one update, or word that there is none; resolves when the member has taken it. Rejects with its refusal. */
export function sendUpdate(
  network: Network,
  peer: PeerKey,
  key: RoundKey,
  update: Update | undefined,
  init: Init,
): Promise<void> {
  return conversation(network, peer, FL_UPDATE, init, async (stream) => {
    const bytes = update === undefined ? new Uint8Array(0) : floatBytes(update.delta)
    const header = { ...key, weight: update?.weight ?? 0, hash: update?.hash ?? '', bytes: bytes.length }
    await stream.send(toCbor(header), init)
    await sendPieces(stream, bytes, init)
    readReply(await answerOf(stream, init), nothingShape, peer, FL_UPDATE)
  })
}

/**
 * Receives updates. `expect` refuses by its header what nobody waits for, before a byte of it is taken; `take` gets what is
 * whole, of the task's shape, and hashes as said. Both may throw, and the code travels back.
 */
export function updateHandler(
  task: TaskDescriptor,
  expect: (peer: PeerKey, key: RoundKey) => void,
  take: (peer: PeerKey, key: RoundKey, update: Update | undefined) => void,
): StreamHandler {
  return answering(async (stream, first, init) => {
    const { weight, hash, bytes: length, ...key } = fromCbor(first, updateShape, 'MESSAGE_MALFORMED')
    expect(stream.peer, key)
    if (weight === 0) {
      take(stream.peer, key, undefined)
      return 'taken'
    }
    if (length !== task.parameters * 4)
      throw refusal('UPDATE_WRONG_SHAPE', `${length} bytes where ${task.id} has ${task.parameters} parameters`)
    const bytes = await receivePieces(stream, length, init)
    if (updateHash(bytes, weight) !== hash)
      throw refusal('UPDATE_BAD_HASH', 'the update is not the one that was announced')
    const delta = bytesToFloats(bytes)
    checkTensor(task, delta)
    take(stream.peer, key, { delta, weight, hash })
    return 'taken'
  })
}

/** The weights of `head` from a member that holds it, checked against its name. Rejects with `MODEL_BAD_HASH` or a refusal. */
export async function fetchModel(
  network: Network,
  peer: PeerKey,
  task: TaskDescriptor,
  taskHash: string,
  head: Lineage,
  init: Init,
): Promise<Float32Array> {
  const weights = await conversation(network, peer, FL_MODEL, init, async (stream) => {
    await stream.send(toCbor({ task: taskHash, version: head.version }), init)
    const { bytes } = readReply(await answerOf(stream, init), modelAnswerShape, peer, FL_MODEL)
    if (bytes !== task.parameters * 4)
      throw refusal(
        'UPDATE_WRONG_SHAPE',
        `${peer} offers ${bytes} bytes where ${task.id} has ${task.parameters} parameters`,
      )
    return bytesToFloats(await receivePieces(stream, bytes, init))
  })
  checkTensor(task, weights)
  if (versionOf(taskHash, head, weights) !== head.version)
    throw refusal('MODEL_BAD_HASH', `what ${peer} sent is not version ${head.version.slice(0, 8)}; it was not taken`)
  return weights
}

/** Gives out the version in use, and no other. */
export function modelHandler(
  taskHash: string,
  current: () => { version: string; weights: Float32Array },
): StreamHandler {
  return answering(async (stream, first, init) => {
    const asked = fromCbor(first, modelShape, 'MESSAGE_MALFORMED')
    if (asked.task !== taskHash) throw refusal('ROUND_OTHER_TASK', 'this peer trains another task')
    const { version, weights } = current()
    if (asked.version !== version)
      throw refusal('MODEL_UNKNOWN', `this peer is at version ${version.slice(0, 8)}; ask for its head again`)
    const bytes = floatBytes(weights)
    await stream.send(okReply({ bytes: bytes.length }), init)
    await sendPieces(stream, bytes, init)
    return 'answered'
  })
}

/** Runs one side of a conversation that this peer opened, and leaves no stream behind. */
async function conversation<T>(
  network: Network,
  peer: PeerKey,
  spec: ProtocolSpec,
  init: Init,
  work: (stream: MessageStream) => Promise<T>,
): Promise<T> {
  const stream = await network.open(peer, spec, init)
  try {
    const value = await work(stream)
    await stream.close()
    return value
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(messageOf(error)))
    throw error
  }
}

/** A handler that answers `{}` when `work` is done, unless it has answered itself, and a coded error as a refusal. */
function answering(
  work: (stream: MessageStream, first: Uint8Array, init: Init) => Promise<'taken' | 'answered'>,
): StreamHandler {
  return async (stream, context) => {
    const { signal } = context
    const first = await stream.receive({ signal })
    if (first === undefined) return
    let reply: Uint8Array | undefined
    try {
      reply = (await work(stream, first, { signal })) === 'answered' ? undefined : okReply({})
    } catch (error) {
      if (signal.aborted || !(error instanceof CodedError) || error.code.startsWith('STREAM_')) throw error
      reply = refusalTo(context, error)
    }
    if (reply !== undefined) await stream.send(reply, { signal })
    await stream.close()
  }
}

async function answerOf(stream: MessageStream, init: Init): Promise<Uint8Array> {
  const bytes = await stream.receive(init)
  if (bytes === undefined) throw new CodedError('STREAM_ENDED', `${stream.peer} closed without an answer`)
  return bytes
}

export function refusal(code: FederatedErrorCode, message: string): CodedError<FederatedErrorCode> {
  return new CodedError(code, message)
}

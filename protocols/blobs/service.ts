// Serves objects to peers that may read them, and fetches objects from whichever holder delivers.
import { CodedError, isAbort, isCoded, messageOf } from '../../core/errors.ts'
import { abortable, type Startable } from '../../core/lifecycle.ts'
import * as s from '../../core/shape.ts'
import { okReply, readReply, refusalTo } from '../kit/request.ts'
import type { HandlerContext, MessageStream, PeerKey } from '../kit/types.ts'
import { corrupted, type Download, newDownload, next, received } from './download.ts'
import type { BlobErrorCode } from './errors.ts'
import { CREDIT, checkedCid, headerShape, needsCredit, owesCredit, requestShape } from './messages.ts'
import { BLOB_PROTOCOL, CHUNK_BYTES, DEFAULT_MAX_BYTES } from './protocol.ts'
import type { BlobsInit, BlobWriter, Cid, FetchInit } from './types.ts'

/** The part of an object at hand; `writer` is undefined before the first byte. */
interface Part {
  download: Download
  writer: BlobWriter | undefined
}

/** Failures of our own store: another holder would not help. */
const OURS = ['BLOB_STORE_FULL', 'BLOB_QUOTA'] as const

export class BlobService implements Startable {
  readonly #init: BlobsInit
  readonly #fetching = new Map<Cid, Promise<number>>()
  #unhandle: (() => Promise<void>) | undefined
  #stopping = new AbortController()

  constructor(init: BlobsInit) {
    this.#init = init
  }

  async start(): Promise<void> {
    if (this.#unhandle !== undefined) return
    this.#stopping = new AbortController()
    this.#unhandle = await this.#init.network.handle(BLOB_PROTOCOL, (stream, context) => this.#serve(stream, context))
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new CodedError('STOPPED', 'the blob service was stopped'))
    await this.#unhandle?.()
    this.#unhandle = undefined
    await Promise.allSettled(this.#fetching.values())
  }

  /**
   * Makes the object `cid` present here and resolves with its size: at once when it is, else from the first of
   * `holders` that delivers it whole. Two fetches of one object share the transfer.
   * Rejects with `BLOB_UNAVAILABLE`, `BLOB_CORRUPT`, `BLOB_TOO_LARGE`, `BLOB_STORE_FULL`, `BLOB_QUOTA`, `BLOB_BAD_CID`.
   */
  async fetch(cid: Cid, holders: readonly PeerKey[], init: FetchInit = {}): Promise<number> {
    checkedCid(cid)
    for (;;) {
      init.signal?.throwIfAborted()
      const here = await this.#init.store.size(cid)
      if (here !== undefined) return here
      const other = this.#fetching.get(cid)
      if (other === undefined) break
      // Its caller may give up where ours would not: only success counts for us.
      await abortable(
        other.catch(() => undefined),
        init.signal,
      )
    }
    const stop = this.#stopping.signal
    const signal = init.signal === undefined ? stop : AbortSignal.any([init.signal, stop])
    const task = this.#fetch(cid, holders, init.maxBytes ?? DEFAULT_MAX_BYTES, signal)
    this.#fetching.set(cid, task)
    try {
      return await task
    } finally {
      this.#fetching.delete(cid)
    }
  }

  /** {@link fetch}, then the verified bytes themselves: for objects that fit in memory. */
  async get(cid: Cid, holders: readonly PeerKey[], init: FetchInit = {}): Promise<Uint8Array> {
    await this.fetch(cid, holders, init)
    const bytes = await this.#init.store.readWhole(cid)
    if (bytes !== undefined) return bytes
    throw new CodedError<BlobErrorCode>('BLOB_NOT_FOUND', `object ${cid} was removed while it was being fetched`)
  }

  async #fetch(cid: Cid, holders: readonly PeerKey[], maxBytes: number, signal: AbortSignal): Promise<number> {
    const part: Part = {
      download: newDownload(holders.filter((peer) => peer !== this.#init.network.self)),
      writer: undefined,
    }
    const failures: string[] = []
    let code: BlobErrorCode = 'BLOB_UNAVAILABLE'
    try {
      for (let turn = next(part.download); turn !== undefined; turn = next(part.download)) {
        const { holder, alone } = turn.attempt
        part.download = turn.download
        if (alone) await this.#drop(part)
        try {
          return await this.#fetchFrom(cid, holder, part, maxBytes, signal)
        } catch (error) {
          signal.throwIfAborted()
          if (isCoded(error, ...OURS)) throw error
          failures.push(`${holder}: ${messageOf(error)}`)
          this.#init.log.trace('blob %s from %s: %s', cid, holder, messageOf(error))
          // A holder that lies about the size must not keep us from the others.
          if (isCoded(error, 'BLOB_TOO_LARGE') && code === 'BLOB_UNAVAILABLE') code = 'BLOB_TOO_LARGE'
          if (!isCoded(error, 'BLOB_CORRUPT')) continue
          code = 'BLOB_CORRUPT'
          part.download = corrupted(part.download)
          await this.#drop(part)
        }
      }
    } finally {
      await part.writer?.abort()
    }
    const why = failures.length === 0 ? 'no holder is known' : failures.join('; ').slice(0, 1_000)
    throw new CodedError<BlobErrorCode>(
      code,
      `object ${cid} could not be fetched (${why}): check that a peer that holds it is up and may serve it`,
      { facts: { cid, holders: holders.length } },
    )
  }

  async #drop(part: Part): Promise<void> {
    await part.writer?.abort()
    part.writer = undefined
  }

  async #fetchFrom(cid: Cid, holder: PeerKey, part: Part, maxBytes: number, signal: AbortSignal): Promise<number> {
    const stream = await this.#init.network.open(holder, BLOB_PROTOCOL, { signal })
    try {
      await stream.send(s.toCbor({ cid, offset: part.download.offset }), { signal })
      const reply = await this.#message(stream, signal)
      const { size } = readReply(reply, headerShape, holder, BLOB_PROTOCOL)
      if (size > maxBytes)
        throw new CodedError<BlobErrorCode>(
          'BLOB_TOO_LARGE',
          `object ${cid} has ${size} bytes, more than the ${maxBytes} allowed: raise the limit to fetch it`,
          { facts: { cid, size, maxBytes } },
        )
      part.writer ??= await this.#init.store.writer()
      await this.#receive(stream, part, part.writer, holder, size, signal)
      await part.writer.commit(cid)
      part.writer = undefined
      await stream.close()
      return size
    } catch (error) {
      stream.abort(error instanceof Error ? error : new Error(messageOf(error)))
      throw error
    }
  }

  async #receive(
    stream: MessageStream,
    part: Part,
    writer: BlobWriter,
    holder: PeerKey,
    size: number,
    signal: AbortSignal,
  ): Promise<void> {
    const total = Math.ceil((size - part.download.offset) / CHUNK_BYTES)
    if (total < 0) throw corruptSize(size, part.download.offset)
    for (let index = 0; index < total; index++) {
      const chunk = await this.#message(stream, signal)
      const due = Math.min(CHUNK_BYTES, size - part.download.offset)
      if (chunk.length !== due)
        throw new CodedError('MESSAGE_MALFORMED', `a chunk of ${chunk.length} bytes came where ${due} were due`)
      await writer.write(chunk)
      part.download = received(part.download, holder, chunk.length)
      if (owesCredit(index, total)) await stream.send(CREDIT, { signal })
    }
  }

  async #message(stream: MessageStream, signal: AbortSignal): Promise<Uint8Array> {
    const bytes = await stream.receive({ signal })
    if (bytes === undefined) throw new CodedError('STREAM_ENDED', `${stream.peer} closed a blob stream in mid-transfer`)
    return bytes
  }

  async #serve(stream: MessageStream, context: HandlerContext): Promise<void> {
    const { peer } = context
    const signal = AbortSignal.any([context.signal, this.#stopping.signal])
    const bytes = await stream.receive({ signal })
    if (bytes === undefined) return
    let request: { readonly cid: Cid; readonly offset: number; readonly size: number }
    try {
      request = await this.#admit(peer, bytes)
    } catch (error) {
      if (isAbort(error) || signal.aborted) throw error
      await stream.send(refusalTo(context, error), { signal })
      await stream.close()
      return
    }
    const { cid, size } = request
    await stream.send(okReply({ size }), { signal })
    for (let index = 0, offset = request.offset; offset < size; index++) {
      // The remote has had enough, or has the rest from elsewhere.
      if (needsCredit(index) && (await stream.receive({ signal })) === undefined) return
      const chunk = await this.#init.store.read(cid, offset, CHUNK_BYTES)
      if (chunk === undefined || chunk.length === 0)
        throw new CodedError<BlobErrorCode>('BLOB_NOT_FOUND', `object ${cid} was removed while it was being served`)
      await stream.send(chunk, { signal })
      offset += chunk.length
    }
    await stream.close()
  }

  /** The policy is asked first: a refusal does not tell whether the object is here. */
  async #admit(peer: PeerKey, bytes: Uint8Array): Promise<{ cid: Cid; offset: number; size: number }> {
    const { cid, offset } = s.fromCbor(bytes, requestShape, 'MESSAGE_MALFORMED')
    checkedCid(cid)
    if (!this.#init.policy.mayRead(peer, cid))
      throw new CodedError<BlobErrorCode>('BLOB_NOT_ALLOWED', `object ${cid} is not for peer ${peer}`)
    const size = await this.#init.store.size(cid)
    if (size === undefined) throw new CodedError<BlobErrorCode>('BLOB_NOT_FOUND', `object ${cid} is not here`)
    if (offset > size)
      throw new CodedError('MESSAGE_MALFORMED', `offset ${offset} is beyond the ${size} bytes of ${cid}`)
    return { cid, offset, size }
  }
}

function corruptSize(size: number, offset: number): CodedError<BlobErrorCode> {
  return new CodedError('BLOB_CORRUPT', `the holder says ${size} bytes where ${offset} were already received`)
}

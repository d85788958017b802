import { type Stream, StreamMessageEvent } from '@libp2p/interface'
import { expect, test } from 'vitest'
import { concat } from '../../../core/bytes.ts'
import { FramedStream } from '../../../protocols/kit/framed-stream.ts'
import { frameHeader } from '../../../protocols/kit/framing.ts'
import type { ProtocolSpec } from '../../../protocols/kit/types.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const spec: ProtocolSpec = {
  id: '/cloudskin/test/1.0.0',
  maxMessageBytes: 1024,
  maxInboundStreams: 1,
  maxOutboundStreams: 1,
  messageTimeoutMs: 5_000,
  streamTimeoutMs: 10_000,
  streamsPerMinute: 1,
  access: 'member',
}

/** A stream whose remote closes its side at the very moment that this side stops reading. */
class Closing extends EventTarget {
  status = 'open'
  remoteWriteStatus = 'writable'
  readBufferLength = 0
  async close(): Promise<void> {}
  async closeRead(): Promise<void> {
    this.status = 'closed'
    this.remoteWriteStatus = 'closed'
    this.dispatchEvent(new Event('remoteCloseWrite'))
    this.dispatchEvent(new Event('close'))
  }
}

test('a stream that is over before its end is waited for has ended: a service that stops does not wait for ever', async () => {
  const stream = new Closing() as unknown as Stream
  const onViolation = (): void => undefined
  const framed = new FramedStream({ stream, peer: 'peer', spec, clock: new ManualClock(), onViolation }).attach()
  let ended = false
  void framed.finish().then(() => (ended = true))
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
  expect(ended).toBe(true)
})

/** Pauses and resumes as libp2p does: what waited is handed over in the middle of `resume`, and the muxer is told at its end. */
class Muxed extends EventTarget {
  status = 'open'
  remoteWriteStatus = 'writable'
  readStatus = 'readable'
  /** What the muxer was told last. */
  grants = true
  #waits: Uint8Array | undefined
  get readBufferLength(): number {
    return this.#waits?.length ?? 0
  }
  come(bytes: Uint8Array): void {
    if (this.readStatus === 'paused') this.#waits = bytes
    else this.dispatchEvent(new StreamMessageEvent(bytes))
  }
  pause(): void {
    this.readStatus = 'paused'
    this.grants = false
  }
  resume(): void {
    this.readStatus = 'readable'
    const bytes = this.#waits
    this.#waits = undefined
    if (bytes !== undefined) this.dispatchEvent(new StreamMessageEvent(bytes))
    this.grants = true
  }
}

test('what comes in too large a piece while a stream is resumed pauses it for the muxer too', async () => {
  const muxed = new Muxed()
  const onViolation = (): void => undefined
  const stream = muxed as unknown as Stream
  const framed = new FramedStream({ stream, peer: 'peer', spec, clock: new ManualClock(), onViolation }).attach()
  const frame = concat([frameHeader(1024), new Uint8Array(1024)])
  const mebibyte = concat(Array.from({ length: 1024 }, () => frame))
  muxed.come(mebibyte)
  expect(muxed.grants).toBe(false)
  muxed.come(mebibyte)
  for (let n = 0; n < 1025; n++) expect(await framed.receive()).toHaveLength(1024)
  expect(muxed.grants).toBe(false)
})

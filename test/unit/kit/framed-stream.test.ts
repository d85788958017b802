import type { Stream } from '@libp2p/interface'
import { expect, test } from 'vitest'
import { FramedStream } from '../../../protocols/kit/framed-stream.ts'
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

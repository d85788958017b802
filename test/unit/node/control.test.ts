// The control socket's two ends without a peer behind it: clients that hang, and answers that are read slowly.
import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ControlClient } from '../../../node/control/client.ts'
import { type ControlHandler, ControlServer } from '../../../node/control/server.ts'
import { eventually } from '../../support/eventually.ts'

let folder = ''
let socketPath = ''
let server: ControlServer | undefined
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudskin-control-'))
  socketPath = join(folder, 'control.sock')
})
afterEach(async () => {
  await server?.stop()
  await rm(folder, { recursive: true })
})

async function serve(handler: ControlHandler): Promise<ControlServer> {
  server = new ControlServer({ socketPath, routes: { 'GET /it': handler, 'POST /it': handler } })
  await server.start()
  return server
}

function connect(text: string): Socket {
  const socket = createConnection(socketPath)
  socket.on('error', () => undefined)
  socket.write(text)
  return socket.pause()
}

describe('a server that stops', () => {
  test('waits for no client that never ends its upload, or never reads', async () => {
    let begun = 0
    const endless = (async function* () {
      for (;;) yield { text: 'x'.repeat(10_000) }
    })()
    const running = await serve(async ({ body, query }) => {
      begun++
      if (query.has('endless')) return endless
      for await (const _ of body);
      return {}
    })
    const clients = [
      connect('POST /v1/it HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc'),
      connect('GET /v1/it?endless HTTP/1.1\r\nHost: x\r\n\r\n'),
    ]
    await eventually(() => begun === 2)
    await running.stop()
    for (const client of clients) client.destroy()
  })
})

describe('a client', () => {
  test('reads no faster than what it reads is taken', async () => {
    let told = 0
    await serve(async () =>
      (async function* () {
        for (; told < 2000; told++) yield { text: 'x'.repeat(10_000) }
      })(),
    )
    const lines = new ControlClient(socketPath).lines<{ text: string }>('/it')
    for (let count = 0; count < 3; count++) expect((await lines.next()).value?.text).toHaveLength(10_000)
    // whoever waits for a turn of the event loop after another gives the server all the time it wants
    for (let turn = 0, before = -1; turn < 1000 || before !== told; turn++) {
      before = told
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(told).toBeLessThan(500)
    let rest = 0
    for await (const { text } of lines) rest += text.length
    expect(rest).toBe(1997 * 10_000)
  })

  test('is broken off in every call by the signal it was made with', async () => {
    await serve(() => new Promise(() => undefined))
    const interrupted = new AbortController()
    const call = new ControlClient(socketPath, interrupted.signal).call('/it')
    interrupted.abort(new DOMException('ended', 'AbortError'))
    await expect(call).rejects.toMatchObject({ name: 'AbortError', message: 'ended' })
  })

  test('says of a peer that hangs that it hangs', async () => {
    await serve(() => new Promise(() => undefined))
    const call = new ControlClient(socketPath).call('/it', { signal: AbortSignal.timeout(10) })
    await expect(call).rejects.toMatchObject({
      code: 'CONTROL_UNREACHABLE',
      message: expect.stringContaining('did not answer'),
    })
  })
})

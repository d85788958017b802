// The control API under rude clients: garbage, floods, clients that vanish. The peer answers the next one all the same.
import { once } from 'node:events'
import { request } from 'node:http'
import { createConnection } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CellEventReply, CellReply, StatusReply, SubmitRequest } from '../../node/control/api.ts'
import { ended, running, samplePath, submit } from '../../testnet/processes/cells.ts'
import { ProcessMesh, type ProcessPeer } from '../../testnet/processes/mesh.ts'
import { until } from '../../testnet/processes/until.ts'
import { expectWell, meshOf } from './fixture.ts'

let mesh: ProcessMesh
let peers: ProcessPeer[]
let here: ProcessPeer

beforeAll(async () => {
  mesh = await ProcessMesh.create()
  peers = await meshOf(mesh, ['acacia', 'balsa'])
  here = peers[0] as ProcessPeer
})

afterAll(() => mesh?.stop())

/** One request as it is; resolves with status and body. */
async function send(
  method: string,
  path: string,
  body?: string | Uint8Array,
): Promise<{ status: number | undefined; text: string }> {
  const sent = request({ socketPath: here.status.socket, method, path, agent: false })
  // A peer that has seen enough closes its end while the rest is still being sent.
  sent.on('error', () => undefined)
  sent.end(body)
  const [response] = await once(sent, 'response')
  let text = ''
  for await (const part of response) text += String(part)
  return { status: response.statusCode, text }
}

/** Bytes on the bare socket; resolves when the peer closes it. */
async function raw(bytes: string | Uint8Array): Promise<string> {
  const socket = createConnection(here.status.socket)
  let text = ''
  socket.on('data', (data) => {
    text += data.toString()
  })
  socket.on('error', () => undefined)
  socket.write(bytes)
  await new Promise((resolve) => socket.once('close', resolve))
  return text
}

const NO_CELL: SubmitRequest = {
  name: 'x',
  module: 'f'.repeat(64),
  args: [],
  env: {},
  inputs: [],
  outputs: [],
  limits: {},
  constraints: { labels: {} },
}

describe('garbage', () => {
  it.each([
    ['GET', '/', undefined, 404, 'CONTROL_NOT_FOUND'],
    ['GET', '/v1/../../etc/passwd', undefined, 404, 'CONTROL_NOT_FOUND'],
    ['GET', '/v1/cells/%00', undefined, 404, 'CELL_UNKNOWN'],
    ['GET', '/v1/cells/%ff', undefined, 400, 'CONTROL_BAD_REQUEST'],
    ['GET', '/v1/cells/%E0%A4%A', undefined, 400, 'CONTROL_BAD_REQUEST'],
    ['GET', '//', undefined, 404, 'CONTROL_NOT_FOUND'],
    ['GET', `/v1/cells/${'a'.repeat(2000)}`, undefined, 404, 'CELL_UNKNOWN'],
    ['PATCH', '/v1/cells', undefined, 404, 'CONTROL_NOT_FOUND'],
    ['POST', '/v1/cells', undefined, 400, 'CONTROL_BAD_REQUEST'],
    ['POST', '/v1/cells', '', 400, 'CONTROL_BAD_REQUEST'],
    ['POST', '/v1/cells', 'not json', 400, 'CONTROL_BAD_REQUEST'],
    ['POST', '/v1/cells', '[]', 400, 'CONTROL_BAD_REQUEST'],
    ['POST', '/v1/cells', 'null', 400, 'CONTROL_BAD_REQUEST'],
    ['POST', '/v1/cells', '{"__proto__":{"name":"x"}}', 400, 'CONTROL_BAD_REQUEST'],
    ['POST', '/v1/cells', JSON.stringify({ ...NO_CELL, module: 7 }), 400, 'CONTROL_BAD_REQUEST'],
    ['POST', '/v1/cells', JSON.stringify({ ...NO_CELL, limits: { wallMs: 1.5 } }), 400, 'CONTROL_BAD_REQUEST'],
    ['POST', '/v1/cells', JSON.stringify({ ...NO_CELL, limits: { wallMs: -1 } }), 400, 'CONTROL_BAD_REQUEST'],
    ['POST', '/v1/cells', JSON.stringify({ ...NO_CELL, limits: { wallMs: 1e300 } }), 400, 'CONTROL_BAD_REQUEST'],
    ['POST', '/v1/cells', JSON.stringify({ ...NO_CELL, args: Array(5000).fill('a') }), 400, 'CONTROL_BAD_REQUEST'],
    ['POST', '/v1/cells', '['.repeat(100_000), 400, 'CONTROL_BAD_REQUEST'],
    ['POST', '/v1/cells', '[[['.repeat(300) + ']]]'.repeat(300), 400, 'CONTROL_BAD_REQUEST'],
    ['POST', '/v1/cells', Uint8Array.of(0xff, 0xfe, 0, 0), 400, 'CONTROL_BAD_REQUEST'],
    ['POST', '/v1/cells', JSON.stringify(NO_CELL), 404, 'BLOB_UNKNOWN'],
    ['POST', '/v1/cells', JSON.stringify({ ...NO_CELL, module: '../../identity.key' }), 404, 'BLOB_UNKNOWN'],
    ['POST', '/v1/invites', '{"ttlMs":1}', 400, 'CONTROL_BAD_REQUEST'],
    ['POST', '/v1/invites', '{"ttlMs":60000,"roles":["root"]}', 400, 'CONTROL_BAD_REQUEST'],
    ['DELETE', '/v1/invites/..', undefined, 404, 'CONTROL_NOT_FOUND'],
    ['DELETE', '/v1/invites/none', undefined, 404, 'TICKET_UNKNOWN'],
  ] as const)('is answered with a code: %s %s', async (method, path, body, status, code) => {
    const reply = await send(method, path, body)
    expect([reply.status, (JSON.parse(reply.text) as { error: { code: string } }).error.code]).toEqual([status, code])
  })

  it('that is no HTTP, or no end of it, ends its own connection only', async () => {
    expect(await raw('HELO peer\r\n\r\n')).toContain('400')
    expect(await raw(Buffer.alloc(100_000, 7))).toContain('400')
    expect(await raw(`GET /v1/status HTTP/1.1\r\nHost: x\r\n${'X: y\r\n'.repeat(5000)}\r\n`)).toMatch(/^HTTP\/1.1 4/)
    await expectWell(peers)
  })

  it('of any length is not kept', async () => {
    const { status, text } = await send('POST', '/v1/cells', Buffer.alloc(20 * 1024 * 1024, 0x20))
    expect([status, text]).toEqual([400, expect.stringContaining('CONTROL_BAD_REQUEST')])
    await expectWell(peers)
  })
})

describe('a client that goes away', () => {
  it('in the middle of an upload leaves nothing behind', async () => {
    for (let round = 0; round < 5; round++) {
      const sent = request({
        socketPath: here.status.socket,
        method: 'POST',
        path: '/v1/blobs',
        agent: false,
        headers: { 'content-length': 50_000_000 },
      })
      sent.on('error', () => undefined)
      await new Promise((resolve) => sent.write(Buffer.alloc(1_000_000, round), resolve))
      sent.destroy()
    }
    await expectWell(peers)
  })

  it('in the middle of a followed cell does not keep anything, and the cell goes on', async () => {
    const { cell } = await submit(here, { module: samplePath('sleeper'), args: ['400', '10'], on: 'balsa' })
    await running(here, cell)
    const before = await here.client.call<StatusReply>('/status')
    for (let round = 0; round < 40; round++) {
      const gone = new AbortController()
      const follow = async (): Promise<void> => {
        const init = { query: { follow: '1' }, signal: gone.signal }
        for await (const event of here.client.lines<CellEventReply>(`/cells/${cell}/events`, init))
          if (event.kind === 'output') gone.abort(new DOMException('away', 'AbortError'))
      }
      await expect(follow()).rejects.toMatchObject({ name: 'AbortError' })
    }
    const after = await here.client.call<StatusReply>('/status')
    expect(after.memory.rssBytes - before.memory.rssBytes).toBeLessThan(100 * 1024 * 1024)
    expect(await ended(here, cell)).toMatchObject({ phase: 'finished' })
  })

  it('or reads nothing, while much is told, costs the peer little and the cell nothing', async () => {
    const { cell } = await submit(here, {
      module: samplePath('fault'),
      args: ['flood'],
      limits: { outputBytes: 8 * 1024 * 1024 },
    })
    const sockets = Array.from({ length: 4 }, () => {
      const socket = createConnection(here.status.socket)
      socket.on('error', () => undefined)
      socket.write(`GET /v1/cells/${cell}/events?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n`)
      return socket.pause()
    })
    expect(await ended(here, cell)).toMatchObject({ phase: 'failed', error: { code: 'CELL_OUTPUT_LIMIT' } })
    await expectWell(peers)
    for (const socket of sockets) socket.destroy()
  })

  it('or 200 that ask at once, find all answered', async () => {
    const replies = await Promise.all(Array.from({ length: 200 }, () => here.client.call<StatusReply>('/status')))
    expect(new Set(replies.map(({ peer }) => peer))).toEqual(new Set([here.peer]))
  })
})

describe('many cells at once', () => {
  it('all wait for their turn and finish', async () => {
    const cells = await Promise.all(
      Array.from({ length: 12 }, () => submit(here, { module: samplePath('queens'), args: ['8'] })),
    )
    for (const { cell } of cells) expect(await ended(here, cell)).toMatchObject({ phase: 'finished', exitCode: 0 })
    await until('nothing runs any more', async () => {
      const { cells: left } = await here.client.call<{ cells: CellReply[] }>('/cells')
      return left.length === 0
    })
    await expectWell(peers)
  })
})

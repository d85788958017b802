// The other end of the control socket: what the CLI calls.
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { pipeline, Readable } from 'node:stream'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import { API_PREFIX, type ErrorReply } from './api.ts'
import type { ControlErrorCode } from './errors.ts'

export interface CallInit {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly json?: unknown
  /** Raw body of an upload: bytes, or what is read while it is sent. */
  readonly body?: Uint8Array | Readable
  readonly signal?: AbortSignal
}

export class ControlClient {
  readonly #socketPath: string
  readonly #signal: AbortSignal | undefined

  /** @param signal breaks off every call that has none of its own */
  constructor(socketPath: string, signal?: AbortSignal) {
    this.#socketPath = socketPath
    this.#signal = signal
  }

  /** One call, one JSON answer. Rejects with the peer's own code, or `CONTROL_UNREACHABLE`. */
  async call<T>(path: string, init: CallInit = {}): Promise<T> {
    return JSON.parse(Buffer.from(await this.bytes(path, init)).toString('utf8')) as T
  }

  async bytes(path: string, init: CallInit = {}): Promise<Uint8Array> {
    const response = await this.#send(path, init)
    try {
      return await readAll(response)
    } catch (error) {
      throw this.#unreachable(error, init.signal)
    }
  }

  /** The bytes of an answer as they come. */
  async *chunks(path: string, init: CallInit = {}): AsyncGenerator<Uint8Array> {
    const response = await this.#send(path, init)
    try {
      yield* response as AsyncIterable<Uint8Array>
    } catch (error) {
      throw this.#unreachable(error, init.signal)
    } finally {
      response.destroy()
    }
  }

  /** One JSON value per line, until the peer ends the answer; reads no faster than they are taken. */
  async *lines<T>(path: string, init: CallInit = {}): AsyncGenerator<T> {
    const response = await this.#send(path, init)
    let rest = ''
    try {
      for await (const part of response.setEncoding('utf8') as AsyncIterable<string>) {
        const lines = (rest + part).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) {
          const value = JSON.parse(line) as T | ErrorReply
          if (isErrorReply(value)) throw fromReply(value)
          yield value
        }
      }
    } catch (error) {
      throw isCoded(error) ? error : this.#unreachable(error, init.signal)
    } finally {
      response.destroy()
    }
  }

  async #send(path: string, init: CallInit): Promise<IncomingMessage> {
    const query = new URLSearchParams()
    for (const [key, value] of Object.entries(init.query ?? {})) if (value !== undefined) query.set(key, value)
    const search = query.size > 0 ? `?${query}` : ''
    const signal = init.signal ?? this.#signal
    const body = init.json === undefined ? init.body : Buffer.from(JSON.stringify(init.json))
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = httpRequest({
        socketPath: this.#socketPath,
        path: `${API_PREFIX}${path}${search}`,
        method: init.method ?? (body === undefined ? 'GET' : 'POST'),
        // A connection of its own: one that is kept open would keep a peer that goes down waiting.
        agent: false,
        headers: body instanceof Uint8Array ? { 'content-length': body.length } : {},
        ...(signal === undefined ? {} : { signal }),
      })
      request.once('response', resolve)
      request.once('error', (error) => reject(this.#unreachable(error, init.signal)))
      if (body instanceof Readable) pipeline(body, request, (error) => error && reject(error))
      else request.end(body)
    })
    if (response.statusCode === 200) return response
    const text = Buffer.from(await readAll(response)).toString('utf8')
    throw fromReply(JSON.parse(text) as ErrorReply)
  }

  /** What the caller's own signal broke off fails with the signal's reason; what the peer broke off, as unreachable. */
  #unreachable(error: unknown, signal = this.#signal): unknown {
    const hangs = signal?.reason instanceof DOMException && signal.reason.name === 'TimeoutError'
    if (signal?.aborted && !hangs) return signal.reason
    const [why, next] = hangs
      ? ['it took the call and did not answer in time', 'end its process and start it again']
      : [messageOf(error), 'start one with "cloudskin up", or name its home with --home']
    return new CodedError<ControlErrorCode>(
      'CONTROL_UNREACHABLE',
      `no peer answers on ${this.#socketPath} (${why}); ${next}`,
      { facts: { socket: this.#socketPath }, cause: error },
    )
  }
}

async function readAll(response: IncomingMessage): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of response as AsyncIterable<Uint8Array>) parts.push(part)
  return Buffer.concat(parts)
}

function isErrorReply(value: unknown): value is ErrorReply {
  return typeof value === 'object' && value !== null && 'error' in value && !('kind' in value)
}

function fromReply(reply: ErrorReply): CodedError {
  const { code, message, facts } = reply.error
  return new CodedError(code, message, { facts: facts as Record<string, string | number | boolean | undefined> })
}

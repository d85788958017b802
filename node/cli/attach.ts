// Own standard input for a cell that runs somewhere in the mesh, while it is followed.
import { randomBytes } from 'node:crypto'
import type { Readable } from 'node:stream'
import { sleep, systemClock } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import type { StdinReply } from '../control/api.ts'
import type { ControlClient } from '../control/client.ts'
import type { CliErrorCode } from './errors.ts'
import { type FollowToEndInit, followToEnd } from './follow.ts'
import type { VerbContext } from './verb.ts'

/** Of one call; see `MAX_STDIN_PIECE_BYTES` of the placement protocol. */
const PIECE_BYTES = 128 * 1024
/** A program that reads nothing is asked again this often. */
const FULL_MS = 250

/** Follows the cell to its end, and passes on what `source` has meanwhile. Its end is the end of the cell's standard input. */
export async function attachToEnd(
  context: VerbContext,
  client: ControlClient,
  cell: string,
  init: FollowToEndInit,
  source: Readable = process.stdin,
): Promise<number> {
  const over = new AbortController()
  const signal = AbortSignal.any([context.signal, over.signal])
  const passing = passOn(client, cell, source, signal).catch((error: unknown) => {
    if (signal.aborted) return
    // The program may well do without: its end is waited for all the same.
    const code = isCoded(error) ? ` [${error.code}]` : ''
    context.out.note(`no standard input is passed on any more: ${messageOf(error)}${code}`)
  })
  try {
    return await followToEnd(context, client, cell, init)
  } finally {
    over.abort()
    // A terminal that nobody reads would keep the command.
    source.destroy()
    await passing
  }
}

async function passOn(client: ControlClient, cell: string, source: Readable, signal: AbortSignal): Promise<void> {
  const writer = randomBytes(16).toString('hex')
  const write = async (at: number, body: Uint8Array, end = false): Promise<StdinReply> => {
    const query = { at: String(at), writer, ...(end ? { end: '1' } : {}) }
    for (;;) {
      try {
        const taken = await client.call<StdinReply>(`/cells/${cell}/stdin`, { method: 'POST', query, body, signal })
        if (taken.bytes >= at || taken.closed) return taken
        const lost = 'the cell went on from an earlier state, and misses some of it'
        throw new CodedError<CliErrorCode>('STDIN_LOST', lost)
      } catch (error) {
        // Not placed yet, or on its way for longer than the peer waits: the end of the cell ends this too.
        if (!isCoded(error, 'CELL_NOT_RUNNING')) throw error
        await sleep(systemClock, FULL_MS, signal)
      }
    }
  }
  let taken = await write(0, new Uint8Array(0))
  for await (const chunk of chunksOf(source, signal)) {
    for (let rest = chunk; rest.length > 0; ) {
      const at = taken.bytes
      taken = await write(at, rest.subarray(0, PIECE_BYTES))
      if (taken.closed) return
      if (taken.bytes === at) await sleep(systemClock, FULL_MS, signal)
      rest = rest.subarray(taken.bytes - at)
    }
  }
  while (!taken.closed) taken = await write(taken.bytes, new Uint8Array(0), true)
}

/** Ends with `source`, and rejects when `signal` aborts. */
async function* chunksOf(source: Readable, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const stop = (): void => void source.destroy()
  signal.addEventListener('abort', stop, { once: true })
  try {
    for await (const chunk of source as AsyncIterable<Uint8Array>) yield chunk
    signal.throwIfAborted()
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

// Verbs that start and stop the peer itself: up, down.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sleep, systemClock } from '../../core/clock.ts'
import { entryUrl } from '../../core/entry.ts'
import { CodedError, isAbort, isCoded } from '../../core/errors.ts'
import { abortable, deadline } from '../../core/lifecycle.ts'
import type { StatusReply } from '../control/api.ts'
import { holderOf } from '../home.ts'
import type { CliErrorCode } from './errors.ts'
import { configOf, optionFlags } from './option-flags.ts'
import { inForeground } from './parse.ts'
import { EXIT, type Verb, type VerbContext } from './verb.ts'
import { statusLines } from './verbs-mesh.ts'

/** Calibrating gives up after a minute by itself, and joining after a quarter; then what a slow board takes to load and to settle. */
const START_TIMEOUT_MS = 180_000

/** More than it takes a peer to say good-bye and to put its cells away. */
const STOP_TIMEOUT_MS = 60_000

interface Started {
  readonly status: StatusReply
  readonly ticket?: string
}

const up: Verb = {
  name: 'up',
  summary: 'start the peer of this device: make a mesh, or join one by a ticket or an address',
  usage: '',
  example: 'cloudskin up --name cabinet-7 --preset edge --label site=roadside --join cst1…',
  minArgs: 0,
  maxArgs: 0,
  flags: {
    ...optionFlags,
    detach: { type: 'boolean', short: 'd', help: 'go on in the background; the log is in the home' },
  },
  run: (context) => (context.flags.detach === true ? detached(context) : foreground(context)),
}

/** What a background peer that cannot start says to the command that started it. */
interface NotStarted {
  readonly error: { readonly code: string; readonly message: string }
}

async function foreground(context: VerbContext): Promise<number> {
  const { options, reply } = await configOf(context)
  // Whatever a peer writes is its own: keys, inputs and results of cells.
  process.umask(0o077)
  context.out.progress('starting…')
  const { createPeer } = await import('../peer.ts')
  const peer = await createPeer({ home: context.home, options, config: reply, clock: systemClock })
  try {
    // What is still starting may be waiting for somebody who never answers, and loses nothing when it is cut off.
    await abortable(peer.start(), context.signal)
  } catch (error) {
    if (isCoded(error)) process.send?.({ error: { code: error.code, message: error.message } } satisfies NotStarted)
    throw error
  }
  try {
    const started: Started = { status: peer.status(), ...(await firstTicket(peer)) }
    show(context, started)
    process.send?.(started)
    process.disconnect?.()
    await Promise.race([peer.downRequested, abortedBy(context.signal)])
  } finally {
    await peer.stop()
  }
  return EXIT.ok
}

async function firstTicket(peer: { joinTicket(): Promise<string | undefined> }): Promise<{ ticket?: string }> {
  const ticket = await peer.joinTicket()
  return ticket === undefined ? {} : { ticket }
}

function show(context: VerbContext, started: Started): void {
  context.out.value(started)
  for (const line of statusLines(started.status)) context.out.line(line)
  if (started.ticket !== undefined) {
    context.out.line('')
    context.out.line('one more device may join within the hour (more tickets: cloudskin invite create):')
    context.out.line(`cloudskin up --join ${started.ticket}`)
  }
}

/** Starts this very command again as a process of its own, and returns once that is ready. */
async function detached(context: VerbContext): Promise<number> {
  // What is wrong with the configuration is said here, and not in a log.
  await configOf(context)
  await mkdir(context.home, { recursive: true, mode: 0o700 })
  const logPath = join(context.home, 'peer.log')
  const log = createWriteStream(logPath, { flags: 'a', mode: 0o600 })
  await once(log, 'open')
  const argv = inForeground(process.argv.slice(2))
  const child = spawn(
    process.execPath,
    [...process.execArgv, fileURLToPath(entryUrl(import.meta.url, '../main')), ...argv],
    {
      detached: true,
      stdio: ['ignore', log, log, 'ipc'],
      env: { ...process.env, CLOUDSKIN_HOME: context.home },
    },
  )
  log.destroy()
  context.out.progress('starting…')
  const ready = new Promise<Started>((resolve, reject) => {
    child.once('message', (message: Started | NotStarted) =>
      'error' in message ? reject(new CodedError(message.error.code, message.error.message)) : resolve(message),
    )
    child.once('error', reject)
    child.once('exit', (code, signal) => reject(notStarted(`the peer ended with ${code ?? signal}`, logPath)))
  })
  let started: Started
  try {
    started = await abortable(ready, deadline(START_TIMEOUT_MS, context.signal))
  } catch (error) {
    // Nobody is told of a peer that comes up later: it shall not.
    child.kill('SIGKILL')
    if (context.signal.aborted || !isAbort(error)) throw error
    throw notStarted(`the peer was not ready within ${START_TIMEOUT_MS / 1000} s and was ended`, logPath)
  }
  child.unref()
  show(context, started)
  return EXIT.ok
}

function notStarted(what: string, log: string): CodedError<CliErrorCode> {
  return new CodedError('PEER_DID_NOT_START', `${what}; the reason is at the end of ${log}`, { facts: { log } })
}

const down: Verb = {
  name: 'down',
  summary: 'stop the peer of this home: it says good-bye, so that others see it as left and not as failed',
  usage: '',
  example: 'cloudskin down',
  minArgs: 0,
  maxArgs: 0,
  flags: {},
  async run(context) {
    const client = await context.peer()
    const { pid } = await client.call<StatusReply>('/status')
    await client.call('/down', { json: {} })
    context.out.progress('stopping…')
    await gone(context.home, pid, context.signal)
    context.out.value({ stopped: true, pid })
    context.out.line(`stopped (pid ${pid})`)
    return EXIT.ok
  },
}

/** Resolves when the peer `told` to stop holds the home no more: what was going on is put away. A supervisor may have started another. */
async function gone(home: string, told: number, signal: AbortSignal): Promise<void> {
  const limit = deadline(STOP_TIMEOUT_MS, signal)
  for (;;) {
    const { pid, alive } = await holderOf(home)
    if (!alive || pid !== String(told)) return
    if (limit.aborted && !signal.aborted) {
      throw new CodedError<CliErrorCode>(
        'PEER_DID_NOT_STOP',
        `the peer (pid ${pid}) was told to stop and still runs after ${STOP_TIMEOUT_MS / 1000} s; its log says what it waits for`,
      )
    }
    await sleep(systemClock, 50, signal)
  }
}

function abortedBy(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

export const peerVerbs: readonly Verb[] = [up, down]

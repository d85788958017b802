#!/usr/bin/env node
// The command line: finds the verb, reads its flags, runs it, and turns what it throws into a line and an exit code.
import './v8-flags.ts'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { systemClock } from '../core/clock.ts'
import { isAbort, isCoded, messageOf } from '../core/errors.ts'
import { deadline } from '../core/lifecycle.ts'
import { completionVerb, exitCodesHelp, overview, verbHelp } from './cli/help.ts'
import { Output } from './cli/output.ts'
import { type Parsed, parse, unknownVerb, wantsJson } from './cli/parse.ts'
import { EXIT, type Verb, type VerbContext } from './cli/verb.ts'
import { cellVerbs } from './cli/verbs-cells.ts'
import { meshVerbs } from './cli/verbs-mesh.ts'
import { peerVerbs } from './cli/verbs-peer.ts'
import type { StatusReply } from './control/api.ts'
import { ControlClient } from './control/client.ts'
import { socketPathOf } from './home.ts'
import { VERSION } from './version.ts'

/** What a shell reports of a program that SIGINT or SIGPIPE ended. */
const EXIT_INTERRUPTED = 130
const EXIT_BROKEN_PIPE = 141

/** Signals that come together are one wish: npm, for one, passes on the Ctrl-C that the terminal has sent to all. */
const ONE_WISH_MS = 1000

/** A peer that says nothing for so long, to the simplest of questions, hangs. */
const FIRST_ANSWER_MS = 30_000

const VERBS: readonly Verb[] = [...peerVerbs, ...meshVerbs, ...cellVerbs, completionVerb(() => VERBS)]

async function main(argv: readonly string[]): Promise<number> {
  const interrupted = interruption()
  const [name, ...rest] = argv
  const { stdout, stderr } = process
  // As a program that a closed pipe ends does; a peer lives on, whoever stopped reading what it says.
  const onBroken = (): void => (name === 'up' ? undefined : process.exit(EXIT_BROKEN_PIPE))
  const out = new Output({ json: wantsJson(rest), stdout, stderr, onBroken })
  try {
    const text = specialText(name, rest)
    if (text !== undefined) {
      process.stdout.write(`${text}\n`)
      return name === undefined ? EXIT.usage : EXIT.ok
    }
    const verb = verbOf(name ?? '')
    const parsed = parse(verb, rest)
    if (parsed.flags.help === true) {
      process.stdout.write(`${verbHelp(verb)}\n`)
      return EXIT.ok
    }
    return await verb.run(contextOf(parsed, out, interrupted))
  } catch (error) {
    if (isAbort(error) && interrupted.aborted) return EXIT_INTERRUPTED
    out.failure(
      isCoded(error)
        ? { code: error.code, message: error.message, facts: error.facts }
        : { code: 'CONTROL_FAILED', message: messageOf(error), facts: {} },
    )
    return exitCodeOfError(error)
  } finally {
    out.clearProgress()
  }
}

/** Aborts at the first Ctrl-C, or SIGTERM, and never lets a signal end the process in mid-word; one that comes later does. */
function interruption(): AbortSignal {
  const controller = new AbortController()
  let since = 0
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted && systemClock.mono() - since > ONE_WISH_MS) process.exit(EXIT_INTERRUPTED)
      if (controller.signal.aborted) return
      since = systemClock.mono()
      controller.abort(new DOMException(`ended by ${signal}`, 'AbortError'))
    })
  }
  return controller.signal
}

function verbOf(name: string): Verb {
  const verb = VERBS.find((candidate) => candidate.name === name)
  if (verb !== undefined) return verb
  throw unknownVerb(name, [...VERBS.map((known) => known.name), 'help', 'version'])
}

/** What is printed for command lines that have no verb. */
function specialText(name: string | undefined, rest: readonly string[]): string | undefined {
  if (name === '--version' || name === 'version') return VERSION
  if (name !== undefined && name !== '--help' && name !== '-h' && name !== 'help') return undefined
  const [topic] = rest
  if (topic === 'exit-codes') return exitCodesHelp()
  return topic === undefined || topic.startsWith('-') ? overview(VERBS, VERSION) : verbHelp(verbOf(topic))
}

function contextOf(parsed: Parsed, out: Output, signal: AbortSignal): VerbContext {
  const { home: given } = parsed.flags
  const named = typeof given === 'string' ? given : process.env.CLOUDSKIN_HOME
  // An environment variable that is empty is one that is not set.
  const home = resolve(named === undefined || named === '' ? join(homedir(), '.cloudskin') : named)
  return {
    ...parsed,
    env: process.env,
    home,
    out,
    signal,
    async peer() {
      const client = new ControlClient(socketPathOf(home), signal)
      const status = await client.call<StatusReply>('/status', { signal: deadline(FIRST_ANSWER_MS, signal) })
      out.note(
        `peer ${status.name} (${status.peer}) in ${status.mesh.open ? 'an open mesh' : `mesh ${status.mesh.id.slice(0, 12)}`}`,
      )
      return client
    },
  }
}

function exitCodeOfError(error: unknown): number {
  if (!isCoded(error)) return EXIT.failed
  if (error.code === 'USAGE' || error.code.startsWith('CONFIG_')) return EXIT.usage
  if (error.code === 'CONTROL_UNREACHABLE') return EXIT.noPeer
  if (error.code === 'CONTROL_NOT_FOUND' || error.code.endsWith('_UNKNOWN')) return EXIT.notFound
  if (error.code === 'PLACEMENT_FAILED') return EXIT.notPlaced
  return EXIT.failed
}

process.exitCode = await main(process.argv.slice(2))
// What is written may still be on its way into a pipe.
await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))))
// A peer's own handles are closed by now; what a library may have left open must not keep the command alive.
process.exit()

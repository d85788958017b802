#!/usr/bin/env node
// The command line: finds the verb, reads its flags, runs it, and turns what it throws into a line and an exit code.
import './heap.ts'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { CodedError, isAbort, isCoded, messageOf } from '../core/errors.ts'
import type { CliErrorCode } from './cli/errors.ts'
import { completionScript, exitCodesHelp, GLOBAL_FLAGS, overview, verbHelp } from './cli/help.ts'
import { Output } from './cli/output.ts'
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

const VERBS: readonly Verb[] = [...peerVerbs, ...meshVerbs, ...cellVerbs]

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv
  const special = answerSpecial(name, rest)
  if (special !== undefined) return special
  const verb = VERBS.find((candidate) => candidate.name === name)
  if (verb === undefined) {
    process.stderr.write(`cloudskin: there is no verb "${name}"; "cloudskin help" lists them [USAGE]\n`)
    return EXIT.usage
  }
  const interrupted = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => interrupted.abort(new DOMException(`ended by ${signal}`, 'AbortError')))
  }
  const { stdout, stderr } = process
  // As a program that a closed pipe ends does; a peer lives on, whoever stopped reading what it says.
  const onBroken = (): void => (verb.name === 'up' ? undefined : process.exit(EXIT_BROKEN_PIPE))
  let out = new Output({ json: rest.includes('json'), stdout, stderr, onBroken })
  try {
    const parsed = parse(verb, rest)
    if (parsed.flags.help === true) {
      process.stdout.write(`${verbHelp(verb)}\n`)
      return EXIT.ok
    }
    out = new Output({ json: parsed.flags.output === 'json', stdout, stderr, onBroken })
    return await verb.run(contextOf(parsed, out, interrupted.signal))
  } catch (error) {
    if (isAbort(error) && interrupted.signal.aborted) return EXIT_INTERRUPTED
    out.failure(
      isCoded(error)
        ? { code: error.code, message: error.message, facts: error.facts }
        : { code: 'CONTROL_FAILED', message: messageOf(error) },
    )
    return exitCodeOfError(error)
  } finally {
    out.clearProgress()
  }
}

function answerSpecial(name: string | undefined, rest: readonly string[]): number | undefined {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const verb = VERBS.find((candidate) => candidate.name === rest[0])
    const text =
      rest[0] === 'exit-codes' ? exitCodesHelp() : verb === undefined ? overview(VERBS, VERSION) : verbHelp(verb)
    process.stdout.write(`${text}\n`)
    return name === undefined ? EXIT.usage : EXIT.ok
  }
  if (name === '--version' || name === 'version') {
    process.stdout.write(`${VERSION}\n`)
    return EXIT.ok
  }
  if (name !== 'completion') return undefined
  const script = completionScript(rest[0] ?? '', VERBS)
  if (script === undefined) process.stderr.write('usage: cloudskin completion bash|zsh|fish\n')
  else process.stdout.write(`${script}\n`)
  return script === undefined ? EXIT.usage : EXIT.ok
}

interface Parsed {
  readonly flags: VerbContext['flags']
  readonly args: readonly string[]
  readonly rest: readonly string[]
}

function parse(verb: Verb, argv: readonly string[]): Parsed {
  const divider = argv.indexOf('--')
  const own = divider === -1 ? argv : argv.slice(0, divider)
  const rest = divider === -1 ? [] : argv.slice(divider + 1)
  const options = Object.fromEntries(
    Object.entries({ ...verb.flags, ...GLOBAL_FLAGS }).map(([name, flag]) => [
      name,
      { type: flag.type, multiple: flag.multiple ?? false, ...(flag.short === undefined ? {} : { short: flag.short }) },
    ]),
  )
  let values: Record<string, string | boolean | (string | boolean)[] | undefined>
  let positionals: string[]
  try {
    ;({ values, positionals } = parseArgs({ args: [...own], options, allowPositionals: true, allowNegative: true }))
  } catch (error) {
    // Node adds a guess about dashes that fits no verb of ours.
    throw usage(verb, messageOf(error).replace(/\. To specify a positional argument.*$/s, ''))
  }
  const wanted = values.help === true || (positionals.length >= verb.minArgs && positionals.length <= verb.maxArgs)
  if (!wanted) throw usage(verb, `it takes ${verb.usage === '' ? 'no arguments' : verb.usage}`)
  if (values.output !== undefined && values.output !== 'json' && values.output !== 'text')
    throw usage(verb, `-o takes json or text, not ${String(values.output)}`)
  return { flags: values as VerbContext['flags'], args: positionals, rest }
}

function usage(verb: Verb, problem: string): CodedError<CliErrorCode> {
  return new CodedError('USAGE', `${verb.name}: ${problem}; "cloudskin ${verb.name} --help" shows an example`)
}

function contextOf(parsed: Parsed, out: Output, signal: AbortSignal): VerbContext {
  const given = parsed.flags.home
  const home = resolve(
    typeof given === 'string' ? given : (process.env.CLOUDSKIN_HOME ?? join(homedir(), '.cloudskin')),
  )
  return {
    ...parsed,
    env: process.env,
    home,
    out,
    signal,
    async peer() {
      const client = new ControlClient(socketPathOf(home))
      const status = await client.call<StatusReply>('/status', { signal })
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

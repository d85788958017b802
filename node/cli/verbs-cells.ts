// Verbs about cells that are there: ps, logs, attach, why, migrate, stop, rerun, rm, resolve, get.
import { basename } from 'node:path'
import { systemClock } from '../../core/clock.ts'
import { CodedError } from '../../core/errors.ts'
import type { CellEventReply, CellReply, MoveReply, WhyReply } from '../control/api.ts'
import { attachToEnd } from './attach.ts'
import type { CliErrorCode } from './errors.ts'
import { followToEnd } from './follow.ts'
import { writeLocal } from './local-files.ts'
import { formatAge, formatBytes, formatMs, howItMoved, shortId } from './output.ts'
import { EXIT, textFlag, type Verb, type VerbContext } from './verb.ts'
import { runVerb } from './verbs-run.ts'

const usage = (message: string): CodedError<CliErrorCode> => new CodedError('USAGE', message)

/** Where the control API has the cell that the first argument names; no text can lead anywhere else. */
function pathOf(context: VerbContext): string {
  const cell = context.args[0] ?? ''
  if (!/^[0-9a-f]+$/i.test(cell))
    throw usage(`"${cell}" is no cell: give the first digits that "cloudskin ps -a" shows`)
  return `/cells/${cell.toLowerCase()}`
}

const ps: Verb = {
  name: 'ps',
  summary: 'list the cells that this peer submitted or hosts',
  usage: '',
  example: 'cloudskin ps -o json',
  minArgs: 0,
  maxArgs: 0,
  flags: { all: { type: 'boolean', short: 'a', help: 'also those that have ended' } },
  async run(context) {
    const client = await context.peer()
    const all = context.flags.all === true
    const { cells } = await client.call<{ cells: CellReply[] }>('/cells', { query: { all: all ? '1' : undefined } })
    context.out.value({ cells })
    context.out.table(
      ['CELL', 'NAME', 'ENGINE', 'PHASE', 'ROLE', 'HOST', 'MOVES', 'RAN', 'AGE', 'RESULT'],
      cells.map((cell) => [
        shortId(cell.cell),
        cell.name,
        cell.engine,
        cell.phase,
        cell.role,
        cell.hostName ?? (cell.host === undefined ? '-' : shortId(cell.host)),
        cell.migratable ? String(cell.moves.filter((move) => move.outcome === 'moved').length) : 'stays',
        cell.usage === undefined ? '-' : formatMs(cell.usage.busyMs),
        formatAge(systemClock.now() - cell.submittedAt),
        cell.error?.code ?? (cell.exitCode === undefined ? '-' : `exit ${cell.exitCode}`),
      ]),
    )
    return EXIT.ok
  },
}

const logs: Verb = {
  name: 'logs',
  summary: "show a cell's output",
  usage: 'CELL',
  example: 'cloudskin logs -f 3f2a',
  minArgs: 1,
  maxArgs: 1,
  flags: { follow: { type: 'boolean', short: 'f', help: 'go on until the cell ends' } },
  async run(context) {
    const client = await context.peer()
    const path = pathOf(context)
    if (context.flags.follow === true) return followToEnd(context, client, context.args[0] ?? '', { output: true })
    for await (const event of client.lines<CellEventReply>(`${path}/events`)) {
      if (event.kind !== 'output') continue
      if (context.out.json) context.out.value(event)
      else context.out.raw(event.stream, Buffer.from(event.base64, 'base64'))
      await context.out.drained(context.signal)
    }
    return EXIT.ok
  },
}

const attach: Verb = {
  name: 'attach',
  summary: 'follow a cell of "run --interactive" to its end, and pass your standard input on to it',
  usage: 'CELL',
  example: 'cloudskin attach 3f2a',
  minArgs: 1,
  maxArgs: 1,
  flags: {},
  async run(context) {
    const client = await context.peer()
    pathOf(context)
    return attachToEnd(context, client, context.args[0] ?? '', { output: true })
  },
}

const why: Verb = {
  name: 'why',
  summary: 'say why a cell runs where it runs: every candidate, with the filter that failed or the predicted cost',
  usage: 'CELL',
  example: 'cloudskin why 3f2a',
  minArgs: 1,
  maxArgs: 1,
  flags: {},
  async run(context) {
    const client = await context.peer()
    const reply = await client.call<WhyReply>(`${pathOf(context)}/why`)
    context.out.value(reply)
    for (const line of reply.lines) context.out.line(line)
    return EXIT.ok
  },
}

const migrate: Verb = {
  name: 'migrate',
  summary: 'move a running cell to another peer, while it runs',
  usage: 'CELL',
  example: 'cloudskin migrate 3f2a --to cabinet-7',
  minArgs: 1,
  maxArgs: 1,
  flags: { to: { type: 'string', value: 'PEER', help: 'destination (default: the best other peer)' } },
  async run(context) {
    const client = await context.peer()
    context.out.progress('moving…')
    const to = textFlag(context, 'to')
    const move = await client.call<MoveReply>(`${pathOf(context)}/migrate`, {
      json: to === undefined ? {} : { to },
    })
    context.out.value(move)
    if (move.outcome === 'moved') {
      context.out.line(`moved ${shortId(move.from)} -> ${shortId(move.to)}: ${howItMoved(move)}`)
      return EXIT.ok
    }
    context.out.line(`${move.outcome}: ${move.reason ?? 'no reason given'}`)
    return EXIT.failed
  },
}

/** Verbs that are one POST and one line. */
function simple(name: string, summary: string, said: (cell: CellReply) => string): Verb {
  return {
    name,
    summary,
    usage: 'CELL',
    example: `cloudskin ${name} 3f2a`,
    minArgs: 1,
    maxArgs: 1,
    flags: {},
    async run(context) {
      const client = await context.peer()
      context.out.progress('waiting for its host…')
      const cell = await client.call<CellReply>(`${pathOf(context)}/${name}`, { json: {} })
      context.out.value(cell)
      context.out.line(said(cell))
      return EXIT.ok
    },
  }
}

const resolve: Verb = {
  name: 'resolve',
  summary: 'decide for a cell that is in doubt after a move: go on at the source, or give that copy up',
  usage: 'CELL resume|drop',
  example: 'cloudskin resolve 3f2a resume',
  minArgs: 2,
  maxArgs: 2,
  flags: {},
  async run(context) {
    const client = await context.peer()
    const decision = context.args[1] ?? ''
    if (decision !== 'resume' && decision !== 'drop') throw usage(`resolve takes "resume" or "drop", not "${decision}"`)
    const cell = await client.call<CellReply>(`${pathOf(context)}/resolve`, { json: { decision } })
    context.out.value(cell)
    context.out.line(`${cell.phase}`)
    return EXIT.ok
  },
}

const get: Verb = {
  name: 'get',
  summary: "copy a file out of a cell's tree, while it runs or after",
  usage: 'CELL /PATH [LOCAL]',
  example: 'cloudskin get 3f2a /out/a.wav ./a.wav',
  minArgs: 2,
  maxArgs: 3,
  flags: {},
  async run(context) {
    const client = await context.peer()
    const path = context.args[1] ?? ''
    const local = context.args[2] ?? basename(path)
    if (local === '-' && context.out.json)
      throw usage('get: with -o json the file cannot go to standard output as well')
    context.out.progress('fetching…')
    const chunks = client.chunks(`${pathOf(context)}/file`, { query: { path } })
    if (local === '-') {
      for await (const chunk of chunks) {
        context.out.raw('stdout', chunk)
        await context.out.drained(context.signal)
      }
      return EXIT.ok
    }
    const bytes = await writeLocal(local, chunks)
    context.out.value({ path, local, bytes })
    context.out.line(`${local}: ${formatBytes(bytes)}`)
    return EXIT.ok
  },
}

export const cellVerbs: readonly Verb[] = [
  runVerb,
  ps,
  logs,
  attach,
  why,
  migrate,
  simple('stop', 'end a cell', (cell) => `${cell.phase}: ${shortId(cell.cell)}`),
  simple('rerun', 'run a lost, failed or ended cell again from its start', (cell) => cell.cell),
  simple('rm', 'forget a cell that is over, with its output and results', (cell) => `forgotten: ${shortId(cell.cell)}`),
  resolve,
  get,
]

// Verbs about cells: run, ps, logs, why, migrate, stop, get, rerun, resolve.
import { readFile, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { systemClock } from '../../core/clock.ts'
import { CodedError, messageOf } from '../../core/errors.ts'
import type { CellEventReply, CellReply, MoveReply, SubmitRequest, WhyReply } from '../control/api.ts'
import type { ControlClient } from '../control/client.ts'
import type { CliErrorCode } from './errors.ts'
import { describeEnd, exitCodeOf, follow } from './follow.ts'
import { formatAge, formatBytes, formatMs, shortId } from './output.ts'
import { EXIT, listFlag, textFlag, type Verb, type VerbContext } from './verb.ts'

const usage = (message: string): CodedError<CliErrorCode> => new CodedError('USAGE', message)

async function readLocal(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (error) {
    throw new CodedError<CliErrorCode>('FILE_UNREADABLE', `cannot read ${path}: ${messageOf(error)}`, {
      facts: { path },
      cause: error,
    })
  }
}

async function upload(client: ControlClient, bytes: Uint8Array, signal: AbortSignal): Promise<string> {
  return (await client.call<{ cid: string }>('/blobs', { body: bytes, method: 'POST', signal })).cid
}

/** `LOCAL:/path/in/cell`; the last colon divides, since the path in the cell has none. */
function splitFile(pair: string): { local: string; path: string } {
  const at = pair.lastIndexOf(':')
  const path = pair.slice(at + 1)
  if (at < 1 || !path.startsWith('/')) throw usage(`--file ${pair} is not LOCAL:/ABSOLUTE/PATH/IN/CELL`)
  return { local: pair.slice(0, at), path }
}

function pairs(list: readonly string[], flag: string): Record<string, string> {
  return Object.fromEntries(
    list.map((item) => {
      const at = item.indexOf('=')
      if (at < 1) throw usage(`--${flag} ${item} is not KEY=VALUE`)
      return [item.slice(0, at), item.slice(at + 1)]
    }),
  )
}

function limits(context: VerbContext): SubmitRequest['limits'] {
  const number = (flag: string, scale: number): number | undefined => {
    const text = textFlag(context, flag)
    if (text === undefined) return undefined
    const value = Number(text)
    if (!(value > 0)) throw usage(`--${flag} must be a number above 0, not ${text}`)
    return Math.round(value * scale)
  }
  const given = {
    memoryBytes: number('memory-mb', 1024 * 1024),
    wallMs: number('time-s', 1000),
    fuel: number('fuel', 1),
    outputBytes: number('output-mb', 1024 * 1024),
    diskBytes: number('disk-mb', 1024 * 1024),
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

async function submission(context: VerbContext, client: ControlClient, module: string): Promise<SubmitRequest> {
  // Everything local is read before anything is uploaded: a wrong path costs nothing.
  const bytes = await readLocal(module)
  const files = await Promise.all(
    listFlag(context, 'file').map(async (pair) => {
      const { local, path } = splitFile(pair)
      return { path, bytes: await readLocal(local) }
    }),
  )
  const stdinFile = textFlag(context, 'stdin')
  const stdin = stdinFile === undefined ? undefined : await readLocal(stdinFile)
  const name = textFlag(context, 'name') ?? basename(module).replace(/\.wasm$/, '')
  const zone = textFlag(context, 'zone')
  const peer = textFlag(context, 'on')
  const request: SubmitRequest = {
    name,
    module: await upload(client, bytes, context.signal),
    args: [basename(module).replace(/\.wasm$/, ''), ...context.rest],
    env: pairs(listFlag(context, 'env'), 'env'),
    inputs: [],
    outputs: listFlag(context, 'out'),
    limits: limits(context),
    constraints: {
      labels: pairs(listFlag(context, 'label'), 'label'),
      ...(zone === undefined ? {} : { zone }),
      ...(peer === undefined ? {} : { peer }),
    },
  }
  const inputs: { path: string; cid: string }[] = []
  for (const file of files) inputs.push({ path: file.path, cid: await upload(client, file.bytes, context.signal) })
  return {
    ...request,
    inputs,
    ...(stdin === undefined ? {} : { stdin: await upload(client, stdin, context.signal) }),
  }
}

/** Prints the end of a followed cell and gives the exit code. */
function finish(context: VerbContext, cell: CellReply | undefined): number {
  if (cell === undefined) return EXIT.failed
  context.out.value({ kind: 'end', cell })
  context.out.note(describeEnd(cell))
  return exitCodeOf(cell)
}

async function followToEnd(
  context: VerbContext,
  client: ControlClient,
  cell: string,
  output: boolean,
): Promise<number> {
  return finish(context, await follow({ client, cell, out: context.out, signal: context.signal, output }))
}

const run: Verb = {
  name: 'run',
  summary: 'run a WASI program somewhere in the mesh and follow it to its end',
  usage: 'MODULE.wasm [-- ARGS…]',
  example: 'cloudskin run talk.wasm --file text.txt:/in/text.txt --out /out/a.wav -- -f /in/text.txt -o /out/a.wav',
  minArgs: 1,
  maxArgs: 1,
  flags: {
    file: { type: 'string', multiple: true, value: 'LOCAL:/PATH', help: 'local file that the cell sees under /PATH' },
    out: {
      type: 'string',
      multiple: true,
      value: '/PATH',
      help: 'file to bring back when it has finished (default: all that it changed)',
    },
    env: { type: 'string', multiple: true, value: 'KEY=VALUE', help: 'environment variable of the program' },
    stdin: { type: 'string', value: 'LOCAL', help: 'local file that the program reads as standard input' },
    name: { type: 'string', value: 'NAME', help: 'name of the cell (default: that of the module)' },
    label: { type: 'string', multiple: true, value: 'KEY=VALUE', help: 'only on peers with this label' },
    zone: { type: 'string', value: 'ZONE', help: 'only in this zone' },
    on: { type: 'string', value: 'PEER', help: 'only on this peer (id, end of id, or name)' },
    'memory-mb': { type: 'string', value: 'MIB', help: 'most linear memory' },
    'time-s': { type: 'string', value: 'SECONDS', help: 'longest run, moves included' },
    fuel: { type: 'string', value: 'N', help: 'most loop turns and recursive calls' },
    'output-mb': { type: 'string', value: 'MIB', help: 'most bytes on stdout and stderr' },
    'disk-mb': { type: 'string', value: 'MIB', help: 'most bytes in its files' },
    wait: { type: 'boolean', help: "wait for the end without showing the program's output" },
    detach: { type: 'boolean', short: 'd', help: 'return as soon as the cell is accepted, with its id' },
  },
  async run(context) {
    const client = await context.peer()
    const request = await submission(context, client, context.args[0] ?? '')
    const accepted = await client.call<CellReply>('/cells', { json: request, signal: context.signal })
    if (context.flags.detach === true) {
      context.out.value(accepted)
      context.out.line(accepted.cell)
      return EXIT.ok
    }
    return followToEnd(context, client, accepted.cell, context.flags.wait !== true)
  },
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
      ['CELL', 'NAME', 'PHASE', 'ROLE', 'HOST', 'MOVES', 'RAN', 'AGE', 'RESULT'],
      cells.map((cell) => [
        shortId(cell.cell),
        cell.name,
        cell.phase,
        cell.role,
        cell.hostName ?? (cell.host === undefined ? '-' : shortId(cell.host)),
        String(cell.moves.filter((move) => move.outcome === 'moved').length),
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
    const cell = context.args[0] ?? ''
    if (context.flags.follow === true) return followToEnd(context, client, cell, true)
    for await (const event of client.lines<CellEventReply>(`/cells/${cell}/events`)) {
      if (event.kind !== 'output') continue
      if (context.out.json) context.out.value(event)
      else context.out.raw(event.stream, Buffer.from(event.base64, 'base64'))
    }
    return EXIT.ok
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
    const reply = await client.call<WhyReply>(`/cells/${context.args[0]}/why`)
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
    const move = await client.call<MoveReply>(`/cells/${context.args[0]}/migrate`, {
      json: to === undefined ? {} : { to },
      signal: context.signal,
    })
    context.out.value(move)
    if (move.outcome === 'moved') {
      context.out.line(
        `moved ${shortId(move.from)} -> ${shortId(move.to)}: stopped ${formatMs(move.stopMs ?? 0)}, snapshot ${formatBytes(move.snapshotBytes ?? 0)}`,
      )
      return EXIT.ok
    }
    context.out.line(`${move.outcome}: ${move.reason ?? 'no reason given'}`)
    return EXIT.failed
  },
}

/** Verbs that are one POST and one line. */
function simple(name: string, summary: string, example: string, said: (cell: CellReply) => string): Verb {
  return {
    name,
    summary,
    usage: 'CELL',
    example,
    minArgs: 1,
    maxArgs: 1,
    flags: {},
    async run(context) {
      const client = await context.peer()
      const cell = await client.call<CellReply>(`/cells/${context.args[0]}/${name}`, {
        json: {},
        signal: context.signal,
      })
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
    const cell = await client.call<CellReply>(`/cells/${context.args[0]}/resolve`, { json: { decision } })
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
    const bytes = await client.bytes(`/cells/${context.args[0]}/file`, { query: { path }, signal: context.signal })
    const local = context.args[2] ?? basename(path)
    if (local === '-') {
      context.out.raw('stdout', bytes)
      return EXIT.ok
    }
    try {
      await writeFile(local, bytes)
    } catch (error) {
      throw new CodedError<CliErrorCode>('FILE_UNWRITABLE', `cannot write ${local}: ${messageOf(error)}`, {
        cause: error,
      })
    }
    context.out.value({ path, local, bytes: bytes.length })
    context.out.line(`${local}: ${formatBytes(bytes.length)}`)
    return EXIT.ok
  },
}

export const cellVerbs: readonly Verb[] = [
  run,
  ps,
  logs,
  why,
  migrate,
  simple('stop', 'end a cell', 'cloudskin stop 3f2a', (cell) => `${cell.phase}: ${shortId(cell.cell)}`),
  simple('rerun', 'run a lost, failed or ended cell again from its start', 'cloudskin rerun 3f2a', (cell) => cell.cell),
  resolve,
  get,
]

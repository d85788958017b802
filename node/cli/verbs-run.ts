// The verb `run`: from local files and flags to a submitted cell, followed to its end.
import { basename } from 'node:path'
import type { Readable } from 'node:stream'
import { CodedError } from '../../core/errors.ts'
import type { CellReply, SubmitRequest } from '../control/api.ts'
import type { ControlClient } from '../control/client.ts'
import { attachToEnd } from './attach.ts'
import type { CliErrorCode } from './errors.ts'
import { followToEnd } from './follow.ts'
import { openLocal, readLocal } from './local-files.ts'
import { EXIT, listFlag, textFlag, type Verb, type VerbContext } from './verb.ts'

const usage = (message: string): CodedError<CliErrorCode> => new CodedError('USAGE', message)

async function upload(client: ControlClient, body: Uint8Array | Readable): Promise<string> {
  return (await client.call<{ cid: string }>('/blobs', { body, method: 'POST' })).cid
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
    const scaled = Math.round(value * scale)
    if (!(scaled > 0 && Number.isSafeInteger(scaled))) throw usage(`--${flag} must be a number above 0, not "${text}"`)
    return scaled
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

/** What is not said is the default of the engine. */
function mode(context: VerbContext): Pick<SubmitRequest, 'engine' | 'migratable' | 'nan' | 'seed'> {
  const engine = textFlag(context, 'engine')
  const seed = textFlag(context, 'seed')
  const migratable = textFlag(context, 'migratable')
  const nan = textFlag(context, 'nan')
  if (engine !== undefined && engine !== 'wasi' && engine !== 'wasix')
    throw usage(`--engine is wasi or wasix, not "${engine}"`)
  if (migratable !== undefined && migratable !== 'true' && migratable !== 'false')
    throw usage(`--migratable is true or false, not "${migratable}"`)
  if (nan !== undefined && nan !== 'native' && nan !== 'canonical')
    throw usage(`--nan is native or canonical, not "${nan}"`)
  if (engine === 'wasix' && nan === 'canonical')
    throw usage('a cell on --engine wasix has the NaNs of its processor: leave --nan out')
  if (engine === 'wasix' && migratable === 'true')
    throw usage('a cell on --engine wasix cannot be moved: leave --migratable out')
  if (engine === 'wasix' && seed !== undefined)
    throw usage('a cell on --engine wasix has randomness of its own: leave --seed out')
  return {
    ...(engine === undefined ? {} : { engine }),
    ...(seed === undefined ? {} : { seed }),
    ...(migratable === undefined ? {} : { migratable: migratable === 'true' }),
    ...(nan === undefined ? {} : { nan }),
  }
}

/** What goes into the cell while it runs. */
function interaction(context: VerbContext): Pick<SubmitRequest, 'stdinOpen'> {
  if (context.flags.interactive !== true) return {}
  if (context.flags.detach === true) throw usage('with --detach nobody is there to type: leave --interactive out')
  if (textFlag(context, 'engine') === 'wasix')
    throw usage('a cell on --engine wasix has its standard input whole at the start: give it with --stdin')
  if (textFlag(context, 'stdin') === '-')
    throw usage('--interactive passes your standard input on: leave --stdin - out')
  return { stdinOpen: true }
}

async function submission(context: VerbContext, client: ControlClient, module: string): Promise<SubmitRequest> {
  // Everything local is read and checked before anything is uploaded: a wrong path costs nothing.
  const { signal } = context
  const name = textFlag(context, 'name') ?? basename(module).replace(/\.(wasm|webc)$/, '')
  const zone = textFlag(context, 'zone')
  const peer = textFlag(context, 'on')
  const request = {
    name,
    args: [basename(module).replace(/\.(wasm|webc)$/, ''), ...context.rest],
    env: pairs(listFlag(context, 'env'), 'env'),
    outputs: listFlag(context, 'out'),
    ...mode(context),
    ...interaction(context),
    limits: limits(context),
    constraints: {
      labels: pairs(listFlag(context, 'label'), 'label'),
      ...(zone === undefined ? {} : { zone }),
      ...(peer === undefined ? {} : { peer }),
    },
  }
  const bytes = await readLocal(module, signal)
  const files = await Promise.all(
    listFlag(context, 'file').map(async (pair) => {
      const { local, path } = splitFile(pair)
      return { path, body: await openLocal(local, signal) }
    }),
  )
  const stdinFile = textFlag(context, 'stdin')
  const stdin = stdinFile === undefined ? undefined : await readLocal(stdinFile, signal)
  context.out.progress('uploading…')
  const inputs: { path: string; cid: string }[] = []
  for (const file of files) inputs.push({ path: file.path, cid: await upload(client, file.body) })
  return {
    ...request,
    module: await upload(client, bytes),
    inputs,
    ...(stdin === undefined ? {} : { stdin: await upload(client, stdin) }),
  }
}

export const runVerb: Verb = {
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
    stdin: {
      type: 'string',
      value: 'LOCAL',
      help: 'local file that the program reads as standard input; - is your own',
    },
    seed: {
      type: 'string',
      value: 'TEXT',
      help: 'the same text gives the program the same random bytes in every run (default: new ones)',
    },
    interactive: {
      type: 'boolean',
      short: 'i',
      help: 'pass your standard input on while it runs, wherever it moves; after that of --stdin, if both are given',
    },
    name: { type: 'string', value: 'NAME', help: 'name of the cell (default: that of the module)' },
    label: { type: 'string', multiple: true, value: 'KEY=VALUE', help: 'only on peers with this label' },
    zone: { type: 'string', value: 'ZONE', help: 'only in this zone' },
    on: { type: 'string', value: 'PEER', help: 'only on this peer (id, end of id, or name)' },
    engine: {
      type: 'string',
      value: 'ENGINE',
      help: "wasi (default), or wasix: Wasmer's runtime, for modules and .webc packages that need it; not moved",
    },
    migratable: {
      type: 'string',
      value: 'BOOLEAN',
      help: 'false runs the module untouched where it starts: for what cannot be suspended; fuel does not bind it',
    },
    nan: {
      type: 'string',
      value: 'KIND',
      help: 'canonical makes floats the same on every processor, in all their bits; native (default) is faster',
    },
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
    context.out.progress('checking the module…')
    const accepted = await client.call<CellReply>('/cells', { json: request })
    if (context.flags.detach === true) {
      context.out.value(accepted)
      context.out.line(accepted.cell)
      return EXIT.ok
    }
    const output = context.flags.wait !== true
    const follow = context.flags.interactive === true ? attachToEnd : followToEnd
    return follow(context, client, accepted.cell, { output, wanted: request.outputs })
  },
}

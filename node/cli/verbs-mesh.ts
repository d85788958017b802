// Verbs about the mesh: status, peers, model, invite, owner, config.
import { CodedError, isCoded } from '../../core/errors.ts'
import { ROLES } from '../../protocols/admission/index.ts'
import { optionNames } from '../config/load.ts'
import {
  type ConfigReply,
  type InviteReply,
  MAX_TICKET_TTL_MS,
  MAX_TICKET_USES,
  type ModelReply,
  type PeerRow,
  type RttReply,
  type StatusReply,
  type ZoneRow,
} from '../control/api.ts'
import { holderOf } from '../home.ts'
import { exportOwner } from '../identity.ts'
import type { CliErrorCode } from './errors.ts'
import { configOf, optionFlags } from './option-flags.ts'
import { formatAge, formatBytes, shortId } from './output.ts'
import { EXIT, listFlag, textFlag, type Verb, type VerbContext } from './verb.ts'

const status: Verb = {
  name: 'status',
  summary: 'what this peer is, where it listens, and which mesh it belongs to',
  usage: '',
  example: 'cloudskin status',
  minArgs: 0,
  maxArgs: 0,
  flags: {},
  async run(context) {
    const client = await context.peer()
    const reply = await client.call<StatusReply>('/status')
    context.out.value(reply)
    for (const line of statusLines(reply)) context.out.line(line)
    return EXIT.ok
  },
}

export function statusLines(reply: StatusReply): string[] {
  return [
    `peer       ${reply.peer}`,
    `name       ${reply.name} (${reply.preset}, zone ${reply.zone})`,
    `mesh       ${reply.mesh.open ? 'open to anyone' : reply.mesh.id}${reply.mesh.owner ? ' (this peer holds the owner key)' : ''}`,
    `roles      ${reply.roles.join(', ')}`,
    ...stateLines(reply.state),
    ...reply.addresses.map((address, index) => `${index === 0 ? 'addresses ' : '          '} ${address}`),
    `home       ${reply.home}`,
    `socket     ${reply.socket}`,
    `up         ${formatAge(reply.uptimeMs)}, ${formatBytes(reply.memory.rssBytes)} resident, pid ${reply.pid}`,
    `walls      ${reply.walls.map(({ wall, active }) => (active ? wall : `NO ${wall}`)).join(', ')}`,
  ]
}

function stateLines(state: StatusReply['state']): string[] {
  if (state === undefined) return []
  const { links, health, zoned, counters } = state
  const { refused, ignoredClaims, refutations } = counters
  const odd = [
    ...(refused > 0 ? [`${refused} records refused`] : []),
    ...(ignoredClaims > 0 ? [`${ignoredClaims} suspicions ignored`] : []),
    ...(refutations > 0 ? [`called dead ${refutations} times`] : []),
  ]
  const parts = [`${links} to other peers`, ...(zoned ? ['large mesh: records of the own zone only'] : []), ...odd]
  return [
    `links      ${parts.join(', ')}`,
    ...(health > 0 ? [`health     ${health} of 7: this peer is slow to hear`] : []),
  ]
}

/** `~` marks an estimate. */
function roundTrip({ self, rttMs, rttEstimate }: PeerRow): string {
  if (self) return '-'
  if (rttMs !== undefined) return `${rttMs.toFixed(1)} ms`
  return rttEstimate === undefined ? '?' : `~${rttEstimate.ms.toFixed(1)} ms`
}

export function peerTable(peers: readonly PeerRow[]): { header: string[]; rows: string[][] } {
  return {
    header: [
      'PEER',
      'NAME',
      'STATE',
      'ZONE',
      'PRESET',
      'CPU FREE',
      'MEM FREE',
      'SLOTS',
      'FUEL',
      'RTT',
      'CELLS',
      'MODEL',
      'AGE',
    ],
    rows: peers.map((peer) => [
      shortId(peer.peer),
      `${peer.name}${peer.self ? ' *' : ''}`,
      peer.status,
      peer.zone,
      peer.preset,
      `${(peer.freeCpu * peer.cores).toFixed(1)}/${peer.cores}`,
      formatBytes(peer.freeMemoryBytes),
      `${peer.freeSlots}/${peer.slots}`,
      `${Math.round(peer.fuelShare * 100)}%`,
      roundTrip(peer),
      String(peer.cells),
      `${peer.model.round}:${peer.model.version.slice(0, 6)}`,
      formatAge(peer.ageMs),
    ]),
  }
}

const peers: Verb = {
  name: 'peers',
  summary: 'who is there: state, free resources, round-trip time, cells, model; failed peers stay listed',
  usage: '',
  example: 'cloudskin peers -o json',
  minArgs: 0,
  maxArgs: 0,
  flags: {},
  async run(context) {
    const client = await context.peer()
    const reply = await client.call<{ peers: PeerRow[] }>('/peers')
    context.out.value(reply)
    const { header, rows } = peerTable(reply.peers)
    context.out.table(header, rows)
    return EXIT.ok
  },
}

const zones: Verb = {
  name: 'zones',
  summary: 'the zones of the mesh: how many peers each has, and what they have free',
  usage: '',
  example: 'cloudskin zones',
  minArgs: 0,
  maxArgs: 0,
  flags: {},
  async run(context) {
    const client = await context.peer()
    const reply = await client.call<{ zones: ZoneRow[] }>('/zones')
    context.out.value(reply)
    context.out.table(
      ['ZONE', 'PEERS', 'CPU FREE', 'MEM FREE', 'SLOTS'],
      reply.zones.map((zone) => [
        zone.zone,
        String(zone.peers),
        `${zone.freeCores.toFixed(1)}/${zone.cpuCores}`,
        formatBytes(zone.freeMemoryBytes),
        `${zone.freeSlots}/${zone.slots}`,
      ]),
    )
    return EXIT.ok
  },
}

const rtt: Verb = {
  name: 'rtt',
  summary: 'the round trip between any two peers: measured from here, else estimated, with its error',
  usage: 'PEER [PEER]',
  example: 'cloudskin rtt cabinet-7 depot',
  minArgs: 1,
  maxArgs: 2,
  flags: {},
  async run(context) {
    const client = await context.peer()
    const [first = '', second] = context.args
    const from = second === undefined ? (await client.call<StatusReply>('/status')).peer : first
    const reply = await client.call<RttReply>(`/rtt?${new URLSearchParams({ from, to: second ?? first }).toString()}`)
    context.out.value(reply)
    const { rttMs, estimate } = reply
    if (rttMs !== undefined) context.out.line(`${rttMs.toFixed(1)} ms, measured`)
    if (estimate !== undefined)
      context.out.line(`${estimate.ms.toFixed(1)} ms, estimated, give or take ${Math.round(estimate.error * 100)} %`)
    if (rttMs === undefined && estimate === undefined)
      context.out.line('not known yet: it is measured within seconds, estimated within minutes')
    return EXIT.ok
  },
}

export function modelLines(model: ModelReply): string[] {
  const loss =
    model.loss === undefined
      ? 'no finished runs here yet'
      : `model ${model.loss.model.toFixed(3)}, heuristic ${model.loss.heuristic.toFixed(3)} over ${model.loss.runs} held-out runs`
  return [
    `version       ${model.version} (round ${model.round})`,
    `contributors  ${model.contributors.length === 0 ? 'none yet' : model.contributors.map(shortId).join(', ')}`,
    `own runs      ${model.samples}`,
    `loss          ${loss}`,
    `decides now   ${model.decides}: ${model.reason}`,
    ...model.history
      .slice(-5)
      .map((round) =>
        round.outcome === 'committed'
          ? `round ${round.round}       committed by ${round.contributors}: loss ${show(round.lossBefore)} -> ${show(round.lossAfter)}`
          : `round ${round.round}       aborted: ${round.reason}`,
      ),
  ]
}

const show = (loss: number | undefined): string => (loss === undefined ? '?' : loss.toFixed(3))

const model: Verb = {
  name: 'model',
  summary: 'the placement model: rounds, contributors, loss against the heuristic, who decides now',
  usage: '[status|round]',
  example: 'cloudskin model status',
  minArgs: 0,
  maxArgs: 1,
  flags: {},
  async run(context) {
    const action = context.args[0] ?? 'status'
    if (action !== 'status' && action !== 'round')
      throw new CodedError<CliErrorCode>('USAGE', `model takes "status" or "round", not "${action}"`)
    const client = await context.peer()
    if (action === 'round') context.out.progress('training and averaging…')
    const reply = await client.call<ModelReply>(
      action === 'round' ? '/model/round' : '/model',
      action === 'round' ? { json: {} } : {},
    )
    context.out.value(reply)
    for (const line of modelLines(reply)) context.out.line(line)
    return action === 'round' && reply.history.at(-1)?.outcome === 'aborted' ? EXIT.failed : EXIT.ok
  },
}

function numberFlag(context: VerbContext, name: string, otherwise: number, max: number): number {
  const text = textFlag(context, name) ?? String(otherwise)
  const value = Number(text)
  if (!(value > 0 && value <= max && Number.isSafeInteger(value)))
    throw new CodedError<CliErrorCode>('USAGE', `--${name} must be a whole number from 1 to ${max}, not "${text}"`)
  return value
}

const invite: Verb = {
  name: 'invite',
  summary: 'make, list and revoke one-time tickets by which a device joins',
  usage: 'create|list|revoke [ID]',
  example: 'cloudskin invite create --ttl-m 60 --role host',
  minArgs: 1,
  maxArgs: 2,
  flags: {
    'ttl-m': { type: 'string', value: 'MINUTES', help: 'how long the ticket can be redeemed (default 60)' },
    role: {
      type: 'string',
      multiple: true,
      value: 'ROLE',
      help: 'host, submit, guardian or invite (default host, submit)',
    },
    uses: { type: 'string', value: 'N', help: 'devices that may join with it (default 1)' },
  },
  async run(context) {
    const [action, id] = context.args
    if (!(id === undefined ? action === 'create' || action === 'list' : action === 'revoke'))
      throw new CodedError<CliErrorCode>('USAGE', 'invite takes "create", "list" or "revoke ID"')
    const ttl = numberFlag(context, 'ttl-m', 60, MAX_TICKET_TTL_MS / 60_000)
    const uses = numberFlag(context, 'uses', 1, MAX_TICKET_USES)
    const roles = listFlag(context, 'role')
    const wrong = roles.find((role) => !(ROLES as readonly string[]).includes(role))
    if (wrong !== undefined)
      throw new CodedError<CliErrorCode>('USAGE', `--role takes ${ROLES.join(', ')}, not "${wrong}"`)
    const client = await context.peer()
    if (action === 'create') {
      const json = { ttlMs: ttl * 60_000, uses, ...(roles.length > 0 ? { roles } : {}) }
      const reply = await client.call<InviteReply>('/invites', { json })
      context.out.value(reply)
      context.out.note(
        `${uses === 1 ? 'one device' : `${uses} devices`} may join with this until ${new Date(reply.expiresAt).toISOString()} as ${reply.roles.join(', ')}:`,
      )
      context.out.line(reply.ticket ?? '')
      return EXIT.ok
    }
    if (id !== undefined) {
      const reply = await client.call<InviteReply>(`/invites/${encodeURIComponent(id)}`, { method: 'DELETE' })
      context.out.value(reply)
      context.out.line(`${reply.state}: ${reply.id}`)
      return EXIT.ok
    }
    const { invites } = await client.call<{ invites: InviteReply[] }>('/invites')
    context.out.value({ invites })
    context.out.table(
      ['ID', 'STATE', 'ROLES', 'EXPIRES', 'USED BY'],
      invites.map((one) => [
        one.id,
        one.state,
        one.roles.join(','),
        new Date(one.expiresAt).toISOString(),
        one.usedBy === undefined ? '-' : shortId(one.usedBy),
      ]),
    )
    return EXIT.ok
  },
}

const owner: Verb = {
  name: 'owner',
  summary: 'print the key that owns the mesh, to back it up: keep it secret',
  usage: 'export',
  example: 'cloudskin owner export > owner.key',
  minArgs: 1,
  maxArgs: 1,
  flags: {},
  async run(context) {
    if (context.args[0] !== 'export') throw new CodedError<CliErrorCode>('USAGE', 'owner takes "export"')
    const key = await exportOwner(context.home)
    context.out.value({ key })
    context.out.line(key)
    return EXIT.ok
  },
}

const config: Verb = {
  name: 'config',
  summary:
    'each effective option with its origin (default, preset, file, environment or flag): of the running peer, or, with flags or where none runs, of one that would start now',
  usage: 'show',
  example: 'CLOUDSKIN_SLOTS=4 cloudskin config show --preset edge',
  minArgs: 1,
  maxArgs: 1,
  flags: optionFlags,
  async run(context) {
    if (context.args[0] !== 'show') throw new CodedError<CliErrorCode>('USAGE', 'config takes "show"')
    const { alive } = await holderOf(context.home)
    const asked = [...optionNames, 'config'].some((name) => context.flags[name] !== undefined)
    const reply = (alive && !asked ? await configOfPeer(context) : undefined) ?? (await configOf(context)).reply
    context.out.value(reply)
    context.out.table(
      ['OPTION', 'ORIGIN', 'VALUE'],
      reply.options.map((option) => [option.name, option.origin, JSON.stringify(option.value)]),
    )
    return EXIT.ok
  },
}

/** Undefined while the home's peer is starting or going down: its lock is held, and nobody answers. */
async function configOfPeer(context: VerbContext): Promise<ConfigReply | undefined> {
  try {
    return await (await context.peer()).call<ConfigReply>('/config')
  } catch (error) {
    if (!isCoded(error, 'CONTROL_UNREACHABLE')) throw error
    context.out.note('the peer of this home does not answer; a peer that starts now would have these')
    return undefined
  }
}

export const meshVerbs: readonly Verb[] = [status, peers, zones, rtt, model, invite, owner, config]

import { logger } from '@libp2p/logger'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../core/clock.ts'
import { isCoded } from '../../../core/errors.ts'
import { seededRandom } from '../../../core/random.ts'
import { fromCbor, integer, object, optional, text, toCbor } from '../../../core/shape.ts'
import { average, updateOf } from '../../../protocols/federated/average.ts'
import {
  type FederatedService,
  federatedService,
  type Lineage,
  type Participant,
} from '../../../protocols/federated/index.ts'
import { floatBytes, taskHash, versionOf } from '../../../protocols/federated/lineage.ts'
import { FL_COMMIT, FL_MODEL, FL_READY, FL_UPDATE, MAX_VIEW } from '../../../protocols/federated/protocol.ts'
import { MemoryMesh, type MemoryNetwork } from '../../../protocols/kit/memory-network.ts'
import { STATUS } from '../../../protocols/kit/request.ts'
import type { ProtocolSpec } from '../../../protocols/kit/types.ts'
import { eventually } from '../../support/eventually.ts'

const TASK = { id: 'test', shape: 'ab', parameters: 100_000, quorum: 2, maxGroup: 16, weightCap: 100 }
const ORIGIN = new Float32Array(TASK.parameters)
const DEADLINES = { gatherMs: 1_000, exchangeMs: 3_000, agreeMs: 800, adoptMs: 800 }

class TestParticipant implements Participant {
  readonly task = TASK
  readonly step: number
  samples = 10
  head: Lineage = { version: 'origin', round: 0, parent: '', contributors: [] }
  values: Float32Array = ORIGIN
  /** Called in the middle of training. */
  onTrain: () => Promise<void> = async () => undefined
  onAdopt: () => Promise<void> = async () => undefined

  constructor(step: number) {
    this.step = step
  }
  lineage = () => this.head
  weights = () => this.values
  available = () => ({ samples: this.samples, fresh: this.samples })
  evaluate = (weights: Float32Array) => Math.abs((weights[0] ?? 0) - 100)
  delta = () => new Float32Array(TASK.parameters).fill(this.step)
  async contribute() {
    await this.onTrain()
    return this.samples === 0 ? undefined : { delta: this.delta(), samples: this.samples }
  }
  async adopt(weights: Float32Array, lineage: Lineage) {
    await this.onAdopt()
    this.values = weights
    this.head = lineage
  }
}

interface Member {
  readonly name: string
  readonly network: MemoryNetwork
  readonly participant: TestParticipant
  readonly service: FederatedService
}

const started: FederatedService[] = []
afterEach(async () => {
  await Promise.all(started.splice(0).map((service) => service.stop()))
})

async function join(mesh: MemoryMesh, name: string, step: number, intervalMs = 0): Promise<Member> {
  const network = mesh.join(name)
  const participant = new TestParticipant(step)
  const service = federatedService({
    network,
    clock: systemClock,
    random: seededRandom(step),
    members: () => network.connected().map(({ peer }) => peer),
    participant,
    log: logger(`test:${name}`),
    intervalMs,
    deadlines: DEADLINES,
  })
  await service.start()
  started.push(service)
  return { name, network, participant, service }
}

async function group(names: readonly string[]): Promise<{ mesh: MemoryMesh; members: Member[] }> {
  const mesh = new MemoryMesh()
  const members: Member[] = []
  for (const [index, name] of names.entries()) members.push(await join(mesh, name, index + 1))
  return { mesh, members }
}

const versions = (members: readonly Member[]): Set<string> =>
  new Set(members.map(({ participant }) => participant.head.version))

describe('rounds between services', () => {
  it('one that opens takes all others along to one version, the weighted mean', async () => {
    const { members } = await group(['a', 'b', 'c'])
    const [a, b] = members as [Member, Member, Member]
    b.participant.samples = 30
    const record = await a.service.startRound()
    expect(record).toMatchObject({ round: 1, outcome: 'committed', contributors: 3, lossBefore: 100, lossLocal: 99 })
    await eventually(() => versions(members).size === 1)
    const updates = new Map(
      members.map(({ name, participant }) => [name, updateOf(participant.delta(), participant.samples)]),
    )
    expect(a.participant.values).toEqual(average(TASK, ORIGIN, updates))
    expect(a.service.status()).toMatchObject({ round: 1, contributors: ['a', 'b', 'c'], history: [record] })
  })

  it('that several open at once are one round', async () => {
    const { members } = await group(['a', 'b', 'c', 'd'])
    const records = await Promise.all(members.map(({ service }) => service.startRound()))
    for (const record of records) expect(record).toMatchObject({ round: 1, outcome: 'committed', contributors: 4 })
    expect(versions(members).size).toBe(1)
  })

  it('follow each other, and happen by themselves', async () => {
    const mesh = new MemoryMesh()
    const members = [await join(mesh, 'a', 1, 50), await join(mesh, 'b', 2, 50)]
    await eventually(() => members.every(({ participant }) => participant.head.round >= 3))
  })

  it.each(['training', 'adopting'])('go on without one that is killed while %s', async (when) => {
    const { mesh, members } = await group(['a', 'b', 'c', 'd'])
    const [a, b, c, d] = members as [Member, Member, Member, Member]
    const die = async () => {
      mesh.kill('d')
      await new Promise(() => undefined)
    }
    if (when === 'training') d.participant.onTrain = die
    else d.participant.onAdopt = die
    const record = await a.service.startRound()
    expect(record).toMatchObject({ outcome: 'committed', contributors: when === 'training' ? 3 : 4 })
    await eventually(() => versions([a, b, c]).size === 1)
    expect(d.participant.head.round).toBe(0)
    started.splice(started.indexOf(d.service), 1)
  })

  it('wait for a silent member only until the deadline', async () => {
    const { members } = await group(['a', 'b', 'c'])
    const [a, b, c] = members as [Member, Member, Member]
    const release = Promise.withResolvers<void>()
    c.participant.onTrain = () => release.promise
    expect(await a.service.startRound()).toMatchObject({ outcome: 'committed', contributors: 2 })
    // The slow one has no update in it, but holds the others' and comes along.
    await eventually(() => versions([a, b, c]).size === 1)
    expect(a.participant.head.contributors).toEqual(['a', 'b'])
    release.resolve()
  })

  it('get along with two members that cannot reach each other, by way of a third', async () => {
    const { mesh, members } = await group(['a', 'b', 'c'])
    const [a, b, c] = members as [Member, Member, Member]
    mesh.link('a', 'b', false)
    expect(await c.service.startRound()).toMatchObject({ outcome: 'committed', contributors: 2 })
    await eventually(() => versions([a, b, c]).size === 1)
  })

  it('below the quorum, or with nobody, abort with a reason, and everybody keeps its version', async () => {
    const { members } = await group(['a', 'b'])
    const [a, b] = members as [Member, Member]
    b.participant.samples = 0
    expect(await a.service.startRound()).toMatchObject({ outcome: 'aborted', code: 'ROUND_TOO_FEW', contributors: 0 })
    expect(versions(members)).toEqual(new Set(['origin']))
    b.participant.samples = 10
    expect(await b.service.startRound()).toMatchObject({ outcome: 'committed' })
  })

  it('go on after an attempt with the highest number there is', async () => {
    const { mesh, members } = await group(['a', 'b'])
    const [a, b] = members as [Member, Member]
    b.participant.samples = 0
    const head = a.participant.head
    const ready = { kind: 'ready', task: taskHash(TASK), head, view: MAX_VIEW, closesInMs: 0, bucket: 1 }
    await talk(mesh.join('stranger'), 'a', FL_READY, [toCbor(ready)])
    await eventually(() => a.service.status().history.length === 1)
    b.participant.samples = 10
    expect(await a.service.startRound()).toMatchObject({ outcome: 'committed' })
  })

  it('that cannot be stored leave the peer at its parent; it gets the version later', async () => {
    const { members } = await group(['a', 'b'])
    const [a, b] = members as [Member, Member]
    b.participant.onAdopt = () => Promise.reject(new Error('disk full'))
    expect(await a.service.startRound()).toMatchObject({ outcome: 'committed' })
    await eventually(() => b.service.status().last?.code === 'ROUND_ADOPT_FAILED')
    expect(b.participant.head.round).toBe(0)
    b.participant.onAdopt = async () => undefined
    expect(await b.service.startRound()).toMatchObject({ round: 2, outcome: 'committed' })
  })
})

describe('versions', () => {
  it('reach a newcomer, and one that was cut off', async () => {
    const { mesh, members } = await group(['a', 'b', 'c'])
    const [a, b, c] = members as [Member, Member, Member]
    mesh.link('a', 'c', false)
    mesh.link('b', 'c', false)
    await a.service.startRound()
    await eventually(() => versions([a, b]).size === 1)
    expect(c.participant.head.round).toBe(0)
    const newcomer = await join(mesh, 'n', 9)
    await eventually(() => newcomer.participant.head.version === a.participant.head.version)
    expect(newcomer.participant.values).toEqual(a.participant.values)
    mesh.link('a', 'c', true)
    await eventually(() => c.participant.head.version === a.participant.head.version)
  })

  it('of two halves of the mesh become one again: more contributors win', async () => {
    const { mesh, members } = await group(['a', 'b', 'c', 'd', 'e'])
    const [a, b, c, d, e] = members as [Member, Member, Member, Member, Member]
    const pairs = [a, b].flatMap((x) => [c, d, e].map((y) => [x, y] as const))
    for (const [x, y] of pairs) mesh.link(x.name, y.name, false)
    await Promise.all([a.service.startRound(), c.service.startRound()])
    await eventually(() => versions([a, b]).size === 1 && versions([c, d, e]).size === 1)
    const winner = c.participant.head
    expect(versions(members).size).toBe(2)
    for (const [x, y] of pairs) mesh.link(x.name, y.name, true)
    await eventually(() => versions(members).size === 1)
    expect(a.participant.head).toEqual(winner)
    expect(a.participant.values).toEqual(c.participant.values)
  })

  it('are fetched first by one that is behind, which then takes part', async () => {
    const { members } = await group(['a', 'b', 'c'])
    const [a, b, c] = members as [Member, Member, Member]
    await a.service.startRound()
    await eventually(() => versions(members).size === 1)
    await c.service.stop()
    c.participant.head = { version: 'origin', round: 0, parent: '', contributors: [] }
    c.participant.values = ORIGIN
    await c.service.start()
    expect(await c.service.startRound()).toMatchObject({ round: 2, outcome: 'committed', contributors: 3 })
    await eventually(() => versions([a, b, c]).size === 1)
  })

  it('that do not hash to their name are not taken', async () => {
    const { mesh, members } = await group(['a'])
    const [a] = members as [Member]
    const liar = mesh.join('liar')
    const origin = { round: 7, parent: 'x', contributors: ['x', 'y'] }
    const head = { version: versionOf(taskHash(TASK), origin, ORIGIN), ...origin }
    let asked = 0
    await liar.handle(FL_MODEL, async (stream, { signal }) => {
      asked++
      await stream.receive({ signal })
      await stream.send(toCbor({ status: 0, body: toCbor({ bytes: TASK.parameters * 4 }) }))
      const bytes = floatBytes(ORIGIN.map(() => 1))
      for (let at = 0; at < bytes.length; at += 200_000) await stream.send(bytes.subarray(at, at + 200_000))
      await stream.close()
    })
    await talk(liar, 'a', FL_READY, [toCbor({ kind: 'head', task: taskHash(TASK), head })])
    await eventually(() => asked === 1)
    // Whatever came of it is over once a later round ends.
    expect(await a.service.startRound()).toMatchObject({ outcome: 'aborted' })
    expect(a.participant.head.round).toBe(0)
    // Nor do they stop the rounds of others, however often they are announced.
    await liar.handle(FL_READY, async (stream, { signal }) => {
      await stream.receive({ signal })
      await stream.send(toCbor({ status: 0, body: toCbor({ joined: false, view: 0, head }) }))
      await stream.close()
    })
    await join(mesh, 'b', 2)
    await eventually(async () => (await a.service.startRound()).outcome === 'committed')
    expect(a.participant.head.contributors).toEqual(['a', 'b'])
  })
})

/** Opens a stream, sends what is given, and returns the first answer. */
async function talk(
  from: MemoryNetwork,
  to: string,
  spec: ProtocolSpec,
  messages: readonly Uint8Array[],
): Promise<Uint8Array | undefined> {
  const stream = await from.open(to, spec)
  try {
    for (const message of messages) await stream.send(message)
    return await stream.receive({ signal: AbortSignal.timeout(5_000) })
  } finally {
    await stream.close()
  }
}

/** The code of a refusal; undefined when the answer is none. */
function refusedWith(answer: Uint8Array | undefined): string | undefined {
  const reply = fromCbor(answer ?? new Uint8Array(0), object({ status: integer(), code: optional(text(64)) }), 'X')
  return reply.status === STATUS.MALFORMED || reply.status === STATUS.REFUSED ? reply.code : undefined
}

describe('bad bytes', () => {
  const key = { task: taskHash(TASK), round: 1, parent: 'origin', view: 0 }
  const header = { ...key, weight: 1, hash: 'ab', bytes: TASK.parameters * 4 }

  it.each<[string, ProtocolSpec, Uint8Array]>([
    ['garbage', FL_READY, Uint8Array.from([255, 0, 1])],
    ['garbage', FL_UPDATE, Uint8Array.from([0xbf])],
    ['garbage', FL_COMMIT, new Uint8Array(100)],
    ['garbage', FL_MODEL, new Uint8Array(0)],
    [
      'another task',
      FL_READY,
      toCbor({ kind: 'head', task: 'x', head: { version: 'a', round: 0, parent: '', contributors: [] } }),
    ],
    ['no round', FL_UPDATE, toCbor(header)],
    ['no round', FL_COMMIT, toCbor({ ...key, step: 'hold', set: [] })],
    ['a version nobody has', FL_MODEL, toCbor({ task: key.task, version: 'zz' })],
    ['a task of nobody', FL_MODEL, toCbor({ task: 'x', version: 'origin' })],
  ])('(%s) are answered with a refusal and change nothing', async (_, spec, message) => {
    const { mesh, members } = await group(['a'])
    const [a] = members as [Member]
    const answer = await talk(mesh.join('stranger'), 'a', spec, [message])
    expect(refusedWith(answer)).toMatch(/^(ROUND|UPDATE|MODEL|MESSAGE)_/)
    expect(a.service.status()).toMatchObject({ round: 0, history: [] })
  })

  it('in the middle of a round are refused, and the round commits', async () => {
    const { mesh, members } = await group(['a', 'b'])
    const [a, b] = members as [Member, Member]
    const training = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    a.participant.onTrain = async () => {
      training.resolve()
      await release.promise
    }
    const round = a.service.startRound()
    await training.promise
    const stranger = mesh.join('stranger')
    const bytes = floatBytes(ORIGIN.map(() => Number.NaN))
    const pieces = [bytes.subarray(0, 250_000), bytes.subarray(250_000)]
    const wrong: readonly (readonly Uint8Array[])[] = [
      [toCbor(header), ...pieces],
      [toCbor({ ...header, bytes: 12 })],
      [toCbor({ ...header, bytes: 1e12 })],
      [toCbor({ ...header, view: 99 })],
      [toCbor({ ...header, parent: 'other' })],
      [toCbor({ ...header, weight: -1 })],
      [toCbor(header), new Uint8Array(0)],
    ]
    for (const messages of wrong) {
      const answer = await talk(stranger, 'a', FL_UPDATE, messages)
      expect(refusedWith(answer)).toMatch(/^(ROUND|UPDATE|MODEL|MESSAGE)_/)
    }
    await expect(talk(stranger, 'a', FL_UPDATE, [new Uint8Array(FL_UPDATE.maxMessageBytes + 1)])).rejects.toSatisfy(
      (error) => isCoded(error, 'MESSAGE_TOO_LARGE'),
    )
    release.resolve()
    expect(await round).toMatchObject({ outcome: 'committed', contributors: 2 })
    await eventually(() => versions([a, b]).size === 1)
  })
})

describe('the service', () => {
  it('starts and stops any number of times, and ends a round that is under way', async () => {
    const { members } = await group(['a', 'b'])
    const [a, b] = members as [Member, Member]
    await a.service.start()
    b.participant.onTrain = () => new Promise(() => undefined)
    const training = Promise.withResolvers<void>()
    a.participant.onTrain = async () => training.resolve()
    const round = a.service.startRound()
    await training.promise
    await a.service.stop()
    await a.service.stop()
    expect(await round).toMatchObject({ outcome: 'aborted', code: 'ROUND_ABORTED' })
    await expect(a.service.startRound()).rejects.toMatchObject({ code: 'ROUND_ABORTED' })
    b.participant.onTrain = async () => undefined
    await a.service.start()
    await eventually(() => b.service.status().running === undefined)
    expect(await a.service.startRound()).toMatchObject({ outcome: 'committed' })
  })
})

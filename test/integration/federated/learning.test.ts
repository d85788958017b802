import { logger } from '@libp2p/logger'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../core/clock.ts'
import { seededRandom } from '../../../core/random.ts'
import { memorySampleStore, PlacementModel, type Run } from '../../../fl/index.ts'
import { placementParticipant } from '../../../node/adapters/placement-learning.ts'
import { type FederatedService, federatedService } from '../../../protocols/federated/index.ts'
import { MemoryMesh } from '../../../protocols/kit/memory-network.ts'
import type { MessageStream, Network } from '../../../protocols/kit/types.ts'
import { eventually } from '../../support/eventually.ts'
import { SyntheticWorld } from '../../support/synthetic-runs.ts'

const NAMES = ['ann', 'bob', 'cat', 'dan']
const RUNS = 50
const ROUNDS = 4

const started: FederatedService[] = []
afterEach(async () => {
  await Promise.all(started.splice(0).map((service) => service.stop()))
})

/** `network`, whose every outgoing message `sink` sees. */
function tapped(network: Network, sink: (message: Uint8Array) => void): Network {
  const tap = (stream: MessageStream): MessageStream => ({
    peer: stream.peer,
    send: (message, init) => {
      sink(message.slice())
      return stream.send(message, init)
    },
    receive: (init) => stream.receive(init),
    close: () => stream.close(),
    abort: (error) => stream.abort(error),
  })
  return {
    self: network.self,
    handle: (spec, handler) => network.handle(spec, (stream, context) => handler(tap(stream), context)),
    open: async (peer, spec, init) => tap(await network.open(peer, spec, init)),
    connected: () => network.connected(),
    onChange: (listener) => network.onChange(listener),
  }
}

async function modelWith(runs: readonly Run[]): Promise<PlacementModel> {
  const model = new PlacementModel({ samples: memorySampleStore(), backend: 'wasm' })
  await model.load()
  for (const run of runs) await model.record(run)
  return model
}

async function serviceFor(network: Network, model: PlacementModel): Promise<FederatedService> {
  const service = federatedService({
    network,
    clock: systemClock,
    random: seededRandom(1),
    members: () => network.connected().map(({ peer }) => peer),
    participant: placementParticipant(model, network.self),
    log: logger(`test:${network.self}`),
    intervalMs: 0,
  })
  await service.start()
  started.push(service)
  return service
}

describe('peers that each see only some kinds of cells', () => {
  // Two dozen trainings, a process each: a minute where the machine has other work.
  it('learn together what none of them learns alone, also when one dies in mid-round', {
    timeout: 300_000,
  }, async () => {
    const world = new SyntheticWorld(NAMES.length, 2)
    const random = seededRandom(11)
    const runs = world.peers.map((peer) => world.runsOf(peer, RUNS, random))
    const unseen = world.anyRuns(300, random)
    const lossOf = (model: PlacementModel): number => model.evaluate(unseen)?.loss ?? Number.NaN

    const aloneFor = async (own: readonly Run[]): Promise<number> => {
      const alone = await modelWith(own)
      for (let round = 1; round <= ROUNDS; round++) {
        const update = await alone.train()
        const weights = alone.weights.map((value, k) => value + (update?.delta[k] ?? 0))
        await alone.adopt(weights, { version: `local-${round}`, round, parent: alone.version, contributors: [] }, true)
      }
      return lossOf(alone)
    }
    const local = await Promise.all(runs.map(aloneFor))

    const mesh = new MemoryMesh()
    const models: PlacementModel[] = []
    const services: FederatedService[] = []
    for (const [index, name] of NAMES.entries()) {
      const model = await modelWith(runs[index] ?? [])
      models.push(model)
      services.push(await serviceFor(mesh.join(name), model))
    }
    const [first] = services as [FederatedService]
    const together = (count: number) => new Set(models.slice(0, count).map(({ version }) => version)).size === 1
    const start = lossOf(models[0] as PlacementModel)
    for (let round = 1; round < ROUNDS; round++) {
      expect(await first.startRound()).toMatchObject({ round, outcome: 'committed', contributors: 4 })
      await eventually(() => together(4))
    }
    // The last one dies while all of them train.
    const last = first.startRound()
    await eventually(() => first.status().running === 'exchange')
    mesh.kill('dan')
    const record = await last
    expect(record).toMatchObject({ round: ROUNDS, outcome: 'committed' })
    expect(record.contributors).toBeGreaterThanOrEqual(3)
    await eventually(() => together(3))
    const joint = lossOf(models[0] as PlacementModel)
    const shown = (value: number) => value.toFixed(3)
    process.stdout.write(`loss: start ${shown(start)}, local ${local.map(shown).join(' ')}, joint ${shown(joint)}\n`)
    expect(joint).toBeLessThan(0.5 * start)
    for (const alone of local) expect(joint).toBeLessThan(0.75 * alone)
    expect(record.lossAfter).toBeLessThan(0.5 * (first.status().history[0]?.lossBefore ?? 0))
  })

  it('send no run: no time, no feature of theirs is in any message', async () => {
    const world = new SyntheticWorld(2, 3)
    const random = seededRandom(5)
    const mesh = new MemoryMesh()
    const canary = 4321.0987
    const sent: Buffer[] = []
    const services: FederatedService[] = []
    for (const [index, name] of ['ann', 'bob'].entries()) {
      const peer = world.peers[index]
      if (peer === undefined) throw new Error('no such peer')
      const own = world.runsOf(peer, 20, random).map((run) => ({
        ...run,
        ms: canary,
        heuristicMs: canary,
        cell: { ...run.cell, maxArgument: canary, inputBytes: canary },
      }))
      const network = tapped(mesh.join(name), (message) => sent.push(Buffer.from(message)))
      services.push(await serviceFor(network, await modelWith(own)))
    }
    expect(await services[0]?.startRound()).toMatchObject({ outcome: 'committed', contributors: 2 })
    const traffic = Buffer.concat(sent)
    // The tap sees updates: each peer sends its own, 4 bytes a parameter.
    expect(traffic.length).toBeGreaterThan(2 * 4 * 1000)
    expect(find(Buffer.concat([traffic, Buffer.from('4321.09')]), canary)).toBe(true)
    expect(find(traffic, canary)).toBe(false)
  })
})

/** True when `value` is somewhere in `bytes`: as a double or a float of either order, as its logarithm, or as text. */
function find(bytes: Buffer, value: number): boolean {
  const forms: Buffer[] = [Buffer.from('4321.09')]
  for (const number of [value, Math.log(value), Math.log1p(value)])
    for (const little of [true, false]) {
      const view = new DataView(new ArrayBuffer(12))
      view.setFloat64(0, number, little)
      view.setFloat32(8, number, little)
      forms.push(Buffer.from(view.buffer, 0, 8), Buffer.from(view.buffer, 8, 4))
    }
  return forms.some((form) => bytes.includes(form))
}

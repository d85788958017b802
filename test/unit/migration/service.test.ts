// The service among simulated peers, one story at a time; and with peers that speak nonsense.
import { describe, expect, it } from 'vitest'
import type { MessageStream, Network } from '../../../protocols/kit/types.ts'
import { MIGRATE, type Migration, type MigrationResult } from '../../../protocols/migration/index.ts'
import {
  decodeToDestination,
  decodeToSource,
  encodeMessage,
  type ToDestination,
  type ToSource,
} from '../../../protocols/migration/messages.ts'
import { DEADLINES, MAX_INCOMING } from '../../../protocols/migration/protocol.ts'
import { decodeRecord } from '../../../protocols/migration/records.ts'
import { Life } from '../../../testnet/simulator/life.ts'
import { IMAGE, OFFER, sent } from './samples.ts'
import { CELL, World } from './world.ts'

async function begun(seed = 1): Promise<World> {
  const world = new World(seed)
  await world.begin()
  return world
}

function serviceAt(world: World, node: string): Migration {
  const peer = world.peer(node)
  if (peer === undefined) throw new Error(`${node} is down`)
  return peer.service
}

async function moved(
  world: World,
  from: string,
  to: string,
  epoch: number,
  signal?: AbortSignal,
): Promise<MigrationResult> {
  const move = serviceAt(world, from).migrate(CELL, to, { epoch, ...(signal === undefined ? {} : { signal }) })
  // The owner of a promise that is awaited only after the clock has moved.
  move.catch(() => undefined)
  await world.sim.run(30 * 60_000)
  return move
}

function journal(world: World, node: string): string[] {
  const records = [...world.sim.disk(node).peek<Uint8Array>('journal').values()].map(decodeRecord)
  return records.map(({ kind, phase }) => `${kind} ${phase}`)
}

/** A peer that speaks the protocol by hand. */
function stranger(world: World, name = 'x'): Network {
  return world.sim.network.attach(new Life(name, world.sim.clock, () => undefined))
}

describe('a move', () => {
  it('tells both ends after each round, while the cell runs, that a stop is near', async () => {
    const world = await begun()
    world.padBytes = 600_000
    const { figures } = await moved(world, 'a', 'b', 1)
    const told = (node: string): string[] => world.stopsNear.filter((one) => one === `${node}, while it runs on a`)
    expect(told('a')).toHaveLength(figures.rounds)
    expect(told('b')).toHaveLength(figures.rounds)
    expect(world.stopsNear).toHaveLength(2 * figures.rounds)
  })

  it('goes there and back, and leaves nothing behind but what brings the cell up again', async () => {
    const world = await begun()
    world.padBytes = 600_000
    const there = await moved(world, 'a', 'b', 1)
    expect(there).toMatchObject({ outcome: 'moved', epoch: 2 })
    const { figures } = there
    expect(figures.stopMs).toBeGreaterThan(0)
    expect(figures.totalMs).toBeGreaterThan(figures.stopMs)
    expect(figures.rounds).toBeGreaterThan(1)
    expect(figures.movedBytes).toBeGreaterThan(600_000)
    expect(figures.lastBytes).toBeLessThan(figures.movedBytes - 600_000)
    expect(figures.hostStartedAt).toBeGreaterThan(figures.hostStoppedAt ?? Number.NaN)
    expect(world.runners()).toEqual(['b'])
    expect(journal(world, 'a')).toEqual([])
    expect(journal(world, 'b')).toEqual(['destination active'])
    expect(await moved(world, 'b', 'a', 2)).toMatchObject({ outcome: 'moved', epoch: 3 })
    expect(world.runners()).toEqual(['a'])
    // The source was told that it will not be asked: it forgets the arrival.
    expect(journal(world, 'b')).toEqual([])
    expect(world.sim.disk('b').peek('images').size).toBe(0)
    // And the arrival that runs needs its image no more.
    expect(world.sim.disk('a').peek('images').size).toBe(0)
    world.finish()
  })

  it.each([
    ['prepare', /refused: prepare failed/],
    ['copy', /copy failed/],
    ['round', /round failed/],
    ['stop', /stop failed/],
    ['add', /could not be loaded: add failed/],
    ['finish', /could not be loaded: finish failed/],
  ])('comes to nothing when %s fails, and the cell runs on', async (what, reason) => {
    const world = await begun()
    world.fails.add(what)
    const result = await moved(world, 'a', 'b', 1)
    expect(result).toMatchObject({ outcome: 'resumed', epoch: 1, reason: expect.stringMatching(reason) })
    const isThere = ['prepare', 'add', 'finish'].includes(what)
    expect(result.byDestination).toBe(isThere ? true : undefined)
    expect(world.runners()).toEqual(['a'])
    expect([...journal(world, 'a'), ...journal(world, 'b')]).toEqual([])
    for (const node of ['a', 'b']) expect(world.sim.disk(node).peek('images').size).toBe(0)
    world.finish()
    world.fails.clear()
    expect(await moved(world, 'a', 'b', 1)).toMatchObject({ outcome: 'moved', epoch: 2 })
  })

  it('is a move when the cell is owned but does not start at once', async () => {
    const world = await begun()
    world.fails.add('activate')
    world.sim.clock.after(20_000, () => world.fails.clear())
    expect(await moved(world, 'a', 'b', 1)).toMatchObject({ outcome: 'moved', epoch: 2, reason: 'activate failed' })
    expect(world.runners()).toEqual(['b'])
  })

  it('says that a resume fails, goes on trying, and then tells how it ended', async () => {
    const world = await begun()
    for (const what of ['finish', 'resume']) world.fails.add(what)
    world.sim.clock.after(60_000, () => world.fails.clear())
    const ends: string[] = []
    serviceAt(world, 'a').onResolved(({ outcome, epoch }) => ends.push(`${outcome} ${epoch}`))
    await expect(moved(world, 'a', 'b', 1)).rejects.toMatchObject({ code: 'MIGRATION_RESUME_FAILED' })
    expect(world.runners()).toEqual(['a'])
    expect(ends).toEqual(['resumed 1'])
  })

  it('is a stop and a copy, without a round, of a cell that cannot be watched', async () => {
    const world = await begun()
    world.isLive = false
    const { outcome, figures } = await moved(world, 'a', 'b', 1)
    expect({ outcome, rounds: figures.rounds }).toEqual({ outcome: 'moved', rounds: 0 })
    expect(figures.lastBytes).toBe(figures.movedBytes)
    expect(world.runners()).toEqual(['b'])
    world.finish()
  })

  it('has no further round where the destination would not take it', async () => {
    const world = await begun()
    world.padBytes = 600_000
    const free = await moved(world, 'a', 'b', 1)
    const tight = await begun()
    tight.padBytes = 600_000
    tight.maxImageBytes = 1_100_000
    const bounded = await moved(tight, 'a', 'b', 1)
    expect([free.outcome, bounded.outcome]).toEqual(['moved', 'moved'])
    expect(bounded.figures.rounds).toBeLessThan(free.figures.rounds)
  })

  it('that was given up before the stop leaves the destination nothing to remember', async () => {
    const world = await begun()
    world.padBytes = 5_000_000
    const controller = new AbortController()
    world.sim.clock.after(150, () => controller.abort(new Error('changed our mind')))
    const { outcome, figures } = await moved(world, 'a', 'b', 1, controller.signal)
    expect({ outcome, stopMs: figures.stopMs }).toEqual({ outcome: 'resumed', stopMs: 0 })
    expect([...journal(world, 'a'), ...journal(world, 'b')]).toEqual([])
    for (const node of ['a', 'b']) expect(world.sim.disk(node).peek('images').size).toBe(0)
    world.finish()
  })

  it('waits for a destination that takes minutes to apply a round', async () => {
    const world = await begun()
    world.slow.set('add', 130_000)
    expect(await moved(world, 'a', 'b', 1)).toMatchObject({ outcome: 'moved', epoch: 2 })
  })

  it('does not let the cell stand still for a destination that does not get on', async () => {
    const world = await begun()
    world.slow.set('finish', 130_000)
    const { outcome, figures } = await moved(world, 'a', 'b', 1)
    expect(outcome).toBe('resumed')
    expect(figures.stopMs).toBeGreaterThanOrEqual(DEADLINES.lastMs)
    expect(figures.stopMs).toBeLessThan(DEADLINES.lastMs + 1000)
    world.finish()
  })

  it('can be cancelled at any moment: it is moved or it is not', async () => {
    const outcomes = new Set<string>()
    for (let ms = 0; ms < 120; ms += 3) {
      const world = await begun(ms + 1)
      const controller = new AbortController()
      world.sim.clock.after(ms, () => controller.abort(new Error('changed our mind')))
      const { outcome } = await moved(world, 'a', 'b', 1, controller.signal)
      outcomes.add(outcome)
      expect(world.runners()).toEqual([outcome === 'moved' ? 'b' : 'a'])
      world.finish()
    }
    expect([...outcomes].sort()).toEqual(['moved', 'resumed'])
  })

  it('is one at a time for a cell', async () => {
    const world = await begun()
    const first = serviceAt(world, 'a').migrate(CELL, 'b', { epoch: 1 })
    await world.sim.run(5)
    await expect(serviceAt(world, 'a').migrate(CELL, 'c', { epoch: 1 })).rejects.toMatchObject({
      code: 'MIGRATION_BUSY',
    })
    await world.sim.run(60_000)
    expect(await first).toMatchObject({ outcome: 'moved' })
    await expect(serviceAt(world, 'a').resolve(CELL, 'drop')).rejects.toMatchObject({ code: 'MIGRATION_NOT_IN_DOUBT' })
  })

  it('ends with its service, and goes on with the next', async () => {
    for (let ms = 0; ms < 90; ms += 3) {
      const world = await begun(ms + 1)
      const service = serviceAt(world, 'a')
      const move = service.migrate(CELL, 'b', { epoch: 1 })
      move.catch(() => undefined)
      await world.sim.run(ms)
      const restarted = service.stop().then(() => service.start())
      await world.sim.run(10 * 60_000)
      await restarted
      expect(world.runners()).toHaveLength(1)
      expect(world.isIdle()).toBe(true)
    }
  })

  it('does not begin about a cell whose record cannot be read, nor does such a cell arrive', async () => {
    const world = await begun()
    world.sim.crash('b')
    const free = new Life('b', world.sim.clock, () => undefined)
    void world.sim.disk('b').put(free, 'journal', `source/${CELL}`, new Uint8Array([1]))
    await world.sim.run(100)
    world.sim.boot('b')
    await world.sim.run(100)
    const refused = serviceAt(world, 'b').migrate(CELL, 'a', { epoch: 1 })
    await expect(refused).rejects.toMatchObject({ code: 'MIGRATION_BUSY' })
    expect(await moved(world, 'a', 'b', 1)).toMatchObject({
      outcome: 'resumed',
      reason: expect.stringContaining('read'),
    })
  })
})

// -- peers that do not keep to the protocol

const GARBAGE = new Uint8Array([255, 0, 255])
type Frame = ToDestination | Uint8Array

const frames: Frame[] = [
  { kind: 'prepare', offer: OFFER },
  ...sent(IMAGE).pieces.slice(0, 2),
  { kind: 'round', round: 1 },
  ...sent(IMAGE).pieces.slice(2),
  { kind: 'complete', root: sent(IMAGE).root },
]

/** What it takes to bring a destination to `received` and no further, spoilt at one place. */
const spoilt: [string, Frame[]][] = frames.flatMap((frame, at): [string, Frame[]][] => [
  [`garbage instead of message ${at}`, frames.with(at, GARBAGE)],
  [`message ${at} twice`, frames.toSpliced(at, 0, frame)],
  [`message ${at} left out`, frames.toSpliced(at, 1)],
  [`nothing from message ${at} on`, frames.slice(0, at)],
])

describe('a source that does not keep to the protocol', () => {
  it.each(spoilt)('leaves nothing: %s', async (_name, said) => {
    const world = await begun()
    const opened = stranger(world).open('b', MIGRATE)
    await world.sim.run(100)
    const stream = await opened
    void speak(stream, said)
    await world.sim.run(60 * 60_000)
    const { host, service } = world.peer('b') ?? {}
    expect(host?.cells.size).toBe(0)
    expect(host?.arriving).toBe(0)
    expect(service?.list().filter(({ phase }) => phase !== 'refused')).toEqual([])
    expect(world.sim.disk('b').peek('images').size).toBe(0)
  })

  it('may bring no more than a cell of that size can be', async () => {
    const world = await begun()
    world.maxImageBytes = 1 << 18
    const opened = stranger(world).open('b', MIGRATE)
    await world.sim.run(100)
    const stream = await opened
    const heard: ToSource[] = []
    void (async () => {
      for (let bytes = await stream.receive(); bytes !== undefined; bytes = await stream.receive())
        heard.push(decodeToSource(bytes))
    })().catch(() => undefined)
    void stream.send(encodeMessage({ kind: 'prepare', offer: OFFER }))
    await world.sim.run(100)
    for (const piece of sent(IMAGE).pieces.slice(0, 1)) void stream.send(encodeMessage(piece))
    await world.sim.run(1000)
    expect(heard).toEqual([
      { kind: 'ready', maxImageBytes: 1 << 18 },
      { kind: 'refuse', reason: expect.stringContaining('more than this peer takes in') },
    ])
  })

  it('may not keep a stream on which it offers nothing', async () => {
    const world = await begun()
    const opened = stranger(world).open('b', MIGRATE)
    await world.sim.run(100)
    const heard = (await opened).receive()
    heard.catch(() => undefined)
    await world.sim.run(20_000)
    await expect(heard).rejects.toMatchObject({ code: 'STREAM_RESET' })
  })

  it('may bring only so many cells at once', async () => {
    const world = await begun()
    const network = stranger(world)
    const answers: string[] = []
    for (let i = 0; i <= MAX_INCOMING; i++) {
      const offer = { ...OFFER, cell: `cell${i}`, attempt: `attempt${i}` }
      void network.open('b', MIGRATE).then(async (stream) => {
        await stream.send(encodeMessage({ kind: 'prepare', offer }))
        const answer = await stream.receive()
        if (answer !== undefined) answers.push(decodeToSource(answer).kind)
      })
    }
    await world.sim.run(200)
    expect(answers.sort()).toEqual([...Array<string>(MAX_INCOMING).fill('ready'), 'refuse'])
  })
})

describe('a destination that does not keep to the protocol', () => {
  const said: ToSource[] = [
    { kind: 'ready', maxImageBytes: 1 << 30 },
    { kind: 'received', root: '?' },
    { kind: 'running', epoch: 2 },
  ]
  const answers: [string, (ToSource | Uint8Array)[], string][] = [
    ['garbage at once', [GARBAGE], 'resumed'],
    ['garbage after `ready`', [said[0], GARBAGE] as ToSource[], 'resumed'],
    ['another root', [said[0], { kind: 'received', root: 'x' }] as ToSource[], 'resumed'],
    ['`running` before the hand-over', [said[0], said[2]] as ToSource[], 'resumed'],
    ['`ready` twice', [said[0], said[0]] as ToSource[], 'resumed'],
    ['nothing', [], 'resumed'],
    ['garbage after the hand-over', [said[0], said[1], GARBAGE] as ToSource[], 'in-doubt'],
    ['a refusal after the hand-over', [said[0], said[1], { kind: 'refuse', reason: 'x' }] as ToSource[], 'in-doubt'],
    ['another epoch', [said[0], said[1], { kind: 'running', epoch: 7 }] as ToSource[], 'in-doubt'],
  ]
  it.each(answers)('does not get the cell twice: %s', async (_name, replies, outcome) => {
    const world = await begun()
    await stranger(world).handle(MIGRATE, (stream) => answer(stream, [...replies]))
    expect(await moved(world, 'a', 'x', 1)).toMatchObject({ outcome })
    expect(world.runners()).toEqual(outcome === 'resumed' ? ['a'] : [])
  })
})

async function speak(stream: MessageStream, said: readonly Frame[]): Promise<void> {
  try {
    for (const frame of said) await stream.send(frame instanceof Uint8Array ? frame : encodeMessage(frame))
    await stream.receive()
  } catch {
    // The other side had enough.
  }
}

/** Says one thing after the offer, one after the image, one after the hand-over; `?` stands for the root that came. */
async function answer(stream: MessageStream, replies: (ToSource | Uint8Array)[]): Promise<void> {
  for (;;) {
    const bytes = await stream.receive()
    if (bytes === undefined) return
    const message = decodeToDestination(bytes)
    if (message.kind === 'piece') continue
    if (message.kind === 'round') {
      await stream.send(encodeMessage({ kind: 'applied', round: message.round }))
      continue
    }
    const reply = replies.shift()
    if (reply === undefined) continue
    const root = message.kind === 'complete' ? message.root : ''
    if (reply instanceof Uint8Array) await stream.send(reply)
    else await stream.send(encodeMessage(reply.kind === 'received' && reply.root === '?' ? { ...reply, root } : reply))
  }
}

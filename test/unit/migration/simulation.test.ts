// The real services on simulated peers: crashes, a bad network and full disks, replayed by seed. Whatever happens there is one copy.
// CLOUDSKIN_LONG=1 takes many more seeds; CLOUDSKIN_SEED=n replays one.
import { describe, expect, it } from 'vitest'
import { CALM } from '../../../testnet/simulator/network.ts'
import { CELL, NODES, World } from './world.ts'

const LONG = process.env.CLOUDSKIN_LONG !== undefined
const SEEDS = seeds(LONG ? 10_000 : 300)
/** Deadlines of a move, questions with pauses of a minute, tries with pauses of half a minute. */
const SETTLING_MS = 45 * 60_000

function seeds(count: number): number[] {
  const one = process.env.CLOUDSKIN_SEED
  return one === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(one)]
}

async function replayable(seed: number, run: () => Promise<void>): Promise<void> {
  try {
    await run()
  } catch (error) {
    throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, { cause: error })
  }
}

/** One thing of those that happen to peers. */
function happen(world: World): void {
  const { sim, random } = world
  const node = NODES[random.int(NODES.length)] ?? 'a'
  const other = NODES[random.int(NODES.length)] ?? 'b'
  const dice = random.next()
  world.work()
  // Doubts are rare and short.
  if (world.isInDoubt() !== undefined && random.next() < 0.3) world.decide()
  else if (dice < 0.5) {
    const controller = new AbortController()
    const moves = world.move(node, controller.signal)
    if (moves && random.next() < 0.2) sim.clock.after(random.int(100), () => controller.abort())
  } else if (dice < 0.65) {
    // A peer that crashes while it just runs the cell takes it along: that ends the story too soon.
    if (world.runners().includes(node) && world.isIdle() && random.next() < 0.95) return
    sim.crash(node)
    sim.clock.after(random.int(20_000), () => sim.boot(node))
  } else if (dice < 0.75 && node !== other) {
    sim.network.link(node, other, false)
    sim.clock.after(random.int(60_000), () => sim.network.link(node, other, true))
  } else if (dice < 0.83) {
    sim.disk(node).full = true
    sim.clock.after(random.int(30_000), () => {
      sim.disk(node).full = false
    })
  } else if (dice < 0.88) world.move(node)
  else if (dice < 0.93) {
    if (world.runners().includes(node) && world.isIdle() && random.next() < 0.95) return
    world.down(node, random.int(20_000))
  } else if (dice < 0.96) world.decide()
  else if (dice < 0.965) world.exit()
  world.tell()
}

/** Everything is repaired; then one copy must run, or none where its only memory was lost. */
async function settle(world: World): Promise<void> {
  const { sim } = world
  world.failing = 0
  sim.onPoint = undefined
  sim.network.faults = CALM
  sim.network.heal()
  for (const node of NODES) sim.disk(node).full = false
  for (const node of NODES) sim.boot(node)
  const isOver = (): boolean => {
    world.tell()
    const none = (world.died || world.mayBeOver) && world.isIdle() && world.runners().length === 0
    return world.violation !== undefined || world.isQuiet() || none || world.isLost()
  }
  await sim.run(SETTLING_MS, isOver)
  // Nothing may happen any more after that.
  await sim.run(SETTLING_MS, () => world.violation !== undefined)
  if (world.violation !== undefined) world.fail(world.violation)
  if (world.isLost()) return
  if (!world.isIdle()) world.fail('a move did not come to an end')
  const runners = world.runners().length
  if (world.isOver && runners > 0) world.fail('it runs, and is over')
  if (runners > 1 || (runners === 0 && !world.died && !world.mayBeOver)) world.fail(`${runners} copies run`)
  world.finish()
  if (world.violation !== undefined) world.fail(world.violation)
}

/** One undisturbed move for each number of rounds up to four, and the points that its ends pass. */
async function undisturbed(): Promise<{ seed: number; points: Record<'a' | 'b', number> }[]> {
  const found = new Map<number, { seed: number; points: Record<'a' | 'b', number> }>()
  for (let seed = 1; found.size < 4; seed++) {
    const world = new World(seed)
    const { sim } = world
    await world.begin()
    const before = { a: sim.points('a'), b: sim.points('b') }
    world.move('b')
    await sim.run(20_000)
    const points = { a: sim.points('a') - before.a, b: sim.points('b') - before.b }
    if (world.rounds >= 1 && world.rounds <= 4 && !found.has(world.rounds)) found.set(world.rounds, { seed, points })
  }
  return [...found.values()]
}

describe('moves between simulated peers', () => {
  it('leave exactly one copy, whatever happens', { timeout: 3_600_000 }, async () => {
    let moves = 0
    let rounds = 0
    let deaths = 0
    let decisions = 0
    let ends = 0
    for (const seed of SEEDS) {
      await replayable(seed, async () => {
        const world = new World(seed)
        const { sim, random } = world
        world.failing = random.next() < 0.3 ? 0.1 : 0
        world.padBytes = random.next() < 0.1 ? 600_000 : 10
        world.isLive = random.next() < 0.8
        if (random.next() < 0.7)
          sim.network.faults = {
            maxDelayMs: 50,
            slow: 0.02,
            slowMs: 20_000,
            stall: 0.01,
            reset: 0.01,
            openFails: 0.05,
            duplicate: 0.1,
          }
        await world.begin()
        for (let i = 0; i < 30 && world.violation === undefined; i++) {
          happen(world)
          await sim.run(random.next() < 0.7 ? random.int(300) : random.int(20_000))
        }
        await settle(world)
        moves += world.moves
        rounds += world.rounds
        if (world.died) deaths++
        if (world.forced) decisions++
        if (world.isOver) ends++
      })
    }
    // A simulation in which nothing happens proves nothing.
    if (SEEDS.length > 100) {
      expect(moves).toBeGreaterThan(SEEDS.length)
      expect(rounds).toBeGreaterThan(moves)
      expect(deaths).toBeLessThan(SEEDS.length * 0.8)
      expect(decisions).toBeGreaterThan(0)
      expect(ends).toBeGreaterThan(0)
    }
    const story = `${moves} moves in ${rounds} rounds, the only copy died with its peer in ${deaths}, ${decisions} owners decided, ${ends} cells ended`
    process.stdout.write(`${SEEDS.length} runs: ${story}\n`)
  })

  it.each([
    ['a', 'with the other end up', false],
    ['b', 'with the other end up', false],
    ['a', 'and the other end too', true],
    ['b', 'and the other end too', true],
  ] as const)(
    'survive a crash of %s at every write and message, %s',
    { timeout: 600_000 },
    async (node, _name, both) => {
      const other = node === 'a' ? 'b' : 'a'
      for (const { seed, points } of await undisturbed()) {
        expect(points[node]).toBeGreaterThan(20)
        for (let at = 1; at <= points[node]; at++) {
          let crashed = false
          await replayable(seed, async () => {
            const world = new World(seed)
            const { sim } = world
            await world.begin()
            const from = sim.points(node)
            sim.onPoint = (name, point) => {
              if (name !== node || point !== from + at) return
              crashed = true
              sim.crash(node)
              sim.clock.after(3_000, () => sim.boot(node))
              if (!both) return
              sim.crash(other)
              sim.clock.after(500, () => sim.boot(other))
            }
            world.move('b')
            await sim.run(20_000)
            await settle(world)
          })
          expect(crashed).toBe(true)
        }
      }
    },
  )

  it.each(['resume', 'drop'] as const)(
    'are in doubt when the destination was wiped, until the owner says %s',
    async (decision) => {
      let doubts = 0
      for (let at = 1; at < 60; at++) {
        await replayable(at, async () => {
          const world = new World(at)
          const { sim } = world
          await world.begin()
          const from = sim.points('b')
          sim.onPoint = (name, point) => {
            if (name !== 'b' || point !== from + at) return
            sim.crash('b')
            sim.disk('b').wipe()
            world.wiped = true
            sim.clock.after(3_000, () => sim.boot('b'))
          }
          world.move('b')
          await sim.run(10 * 60_000)
          const node = world.isInDoubt()
          if (node === undefined) return
          doubts++
          expect(world.runners()).toEqual([])
          const result = world.peer(node)?.service.resolve(CELL, decision)
          await sim.run(60_000)
          expect(await result).toMatchObject(
            decision === 'resume' ? { outcome: 'resumed', epoch: 3 } : { outcome: 'dropped' },
          )
          expect(world.runners()).toEqual(decision === 'resume' ? ['a'] : [])
        })
      }
      expect(doubts).toBeGreaterThan(0)
    },
  )
})

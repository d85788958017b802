// A mesh of ten thousand peers in ten zones; a process of its own, for it needs more memory than Node gives by itself. Prints
// one line of JSON.
import { systemClock } from '../../core/clock.ts'
import { StateMesh } from '../mesh/state-mesh.ts'
import type { StatePeer } from '../mesh/state-peer.ts'
import { lan } from '../world/models.ts'
import { LOSS, restBytes, untilReached } from './state-figures.ts'
import { median } from './statistics.ts'

const [seed = 1, count = 10_000] = process.argv.slice(2).map(Number)
const CHANGES = 3
const MINUTE_MS = 60_000

const mesh = new StateMesh({ seed, count, model: lan() })
mesh.settle()
const { world } = mesh
// They find out that they are too many, and the zones find each other.
world.run(20_000)
const startMs = systemClock.mono()
const bytesPerS = restBytes(mesh, MINUTE_MS)
const wallMs = systemClock.mono() - startMs
const reachMs = reach()
world.setLoss(LOSS)
world.run(world.now + 3_000)
const reachLossMs = reach()
process.stdout.write(`${JSON.stringify({ bytesPerS, wallMs, reachMs, reachLossMs })}\n`)

/** Until 99 % of its zone have the record, and 99 % of the others the summary with it. */
function reach(): number {
  const took = Array.from({ length: CHANGES }, (_, k) => {
    const origin = mesh.peer(37 * k + 5 + (Math.round(world.now) % 100)) as StatePeer
    const zone = mesh.zoneOf(origin.index)
    const inside = mesh.peers.filter(({ index }) => mesh.zoneOf(index) === zone)
    const outside = mesh.peers.filter(({ index }) => mesh.zoneOf(index) !== zone)
    const { zone: name, free } = origin.record.record
    const slots = inside.reduce((sum, { record }) => sum + record.record.free.slots, 0) - (free.slots > 0 ? 1 : 0)
    const isTold = ({ machine }: StatePeer): boolean => machine.summaries().get(name)?.freeSlots === slots
    const ms = untilReached(
      mesh,
      origin,
      () => mesh.reached(origin.record, inside) >= 0.99 && outside.filter(isTold).length >= 0.99 * outside.length,
    )
    world.run(world.now + 2_000)
    return ms
  })
  return median(took)
}

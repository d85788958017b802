// A made-up world of cells and peers whose run times follow a law that no single peer sees the whole of.
import { type Random, seededRandom } from '../../core/random.ts'
import { CALIBRATION_KERNELS, type CellFeatures, OPCODE_CLASSES, type PeerFeatures } from '../../fl/features.ts'
import type { Run } from '../../fl/samples.ts'

/** A kind of program: its code, and how its work grows with its argument. */
interface Kind {
  readonly opcodes: readonly number[]
  readonly moduleBytes: number
  readonly unitMs: number
  readonly exponent: number
  /** Share of each calibration kernel's kind of work in it. */
  readonly mix: readonly number[]
}

export interface SyntheticPeer {
  readonly calibrationMs: Readonly<Record<string, number>>
  readonly cores: number
  readonly slots: number
  /** Indices of the kinds that are run here. */
  readonly kinds: readonly number[]
}

const gaussian = (random: Random): number =>
  Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next())

export class SyntheticWorld {
  readonly kinds: readonly Kind[]
  readonly peers: readonly SyntheticPeer[]

  /** `peers` peers, each of which only ever runs three of six kinds. */
  constructor(peers: number, seed: number) {
    const random = seededRandom(seed)
    this.kinds = Array.from({ length: 6 }, () => {
      const mix = CALIBRATION_KERNELS.map(() => random.next() ** 3)
      const total = mix.reduce((sum, value) => sum + value, 0)
      return {
        opcodes: Array.from({ length: OPCODE_CLASSES }, () => (random.next() < 0.2 ? 0 : 3 + random.next() * 8)),
        moduleBytes: Math.exp(9 + random.next() * 6),
        unitMs: Math.exp(-1 + random.next() * 4),
        exponent: 0.4 + random.next() * 0.6,
        mix: mix.map((value) => value / total),
      }
    })
    this.peers = Array.from({ length: peers }, (_, index) => {
      const slowness = Math.exp(random.next() * 2.5)
      return {
        calibrationMs: Object.fromEntries(
          CALIBRATION_KERNELS.map((name) => [name, 50 * slowness * Math.exp(gaussian(random) * 0.3)]),
        ),
        cores: [1, 2, 4, 8][random.int(4)] ?? 1,
        slots: 2,
        kinds: [index, index + 1, index + 3].map((kind) => kind % this.kinds.length),
      }
    })
  }

  /** One run of `kind` on `peer`: a power of the argument, the kind's mix of kernels, the neighbours, and 10 % noise. */
  run(peer: SyntheticPeer, kindIndex: number, random: Random, at: number): Run {
    const kind = this.kinds[kindIndex % this.kinds.length] as Kind
    const maxArgument = Math.exp(2 + random.next() * 6)
    const running = random.int(peer.slots)
    const slower = CALIBRATION_KERNELS.reduce(
      (sum, name, k) => sum + (kind.mix[k] ?? 0) * ((peer.calibrationMs[name] ?? 50) / 50),
      0,
    )
    const ms =
      kind.unitMs * maxArgument ** kind.exponent * slower * (1 + 0.4 * running) * Math.exp(gaussian(random) * 0.1)
    const cell: CellFeatures = {
      opcodes: kind.opcodes,
      moduleBytes: kind.moduleBytes,
      inputBytes: 0,
      argCount: 2,
      maxArgument,
    }
    const facts: PeerFeatures = {
      calibrationMs: peer.calibrationMs,
      cores: peer.cores,
      running,
      slots: peer.slots,
      fuelShare: 1,
    }
    return { cell, peer: facts, ms, at }
  }

  /** `count` runs of the kinds that `peer` sees. */
  runsOf(peer: SyntheticPeer, count: number, random: Random): Run[] {
    return Array.from({ length: count }, (_, at) =>
      this.run(peer, peer.kinds[random.int(peer.kinds.length)] ?? 0, random, at),
    )
  }

  /** `count` runs of any kind on any peer: what the mesh will meet. */
  anyRuns(count: number, random: Random): Run[] {
    return Array.from({ length: count }, (_, at) =>
      this.run(this.peers[random.int(this.peers.length)] as SyntheticPeer, random.int(this.kinds.length), random, at),
    )
  }
}

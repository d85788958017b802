// Facts about a cell and peers that pass every filter, to be changed by each test.
import type { CellFacts, PeerFacts, Predictor } from '../../../node/decide/index.ts'

export const MIB = 1 << 20

export function cellOf(changes: Partial<CellFacts> = {}): CellFacts {
  return {
    cell: 'c'.repeat(64),
    module: 'm',
    moduleBytes: 2_000_000,
    inputBytes: 1_000_000,
    memoryBytes: 64 * MIB,
    diskBytes: 16 * MIB,
    constraints: { labels: {}, notPeers: [] },
    opcodeFeatures: [],
    args: ['m'],
    ...changes,
  }
}

export function peerOf(peer: string, changes: Partial<PeerFacts> = {}): PeerFacts {
  return {
    peer,
    name: peer,
    status: 'alive',
    self: false,
    zone: 'north',
    labels: {},
    roles: ['host'],
    rttMs: 10,
    cores: 4,
    freeMemoryBytes: 1024 * MIB,
    freeDiskBytes: 1024 * MIB,
    freeSlots: 2,
    backlogMs: 0,
    calibration: { integer: 50, float: 50 },
    fuelShare: 1,
    modules: [],
    ...changes,
  }
}

/** Predicts the same for all, or what is given for a peer. */
export function fixed(ms: number, byPeer: Record<string, number> = {}): Predictor {
  return { predict: (_, { peer }) => ({ ms: byPeer[peer] ?? ms, by: 'spec-cost', basis: '3 runs' }) }
}

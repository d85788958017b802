// What a cell costs at a peer, in milliseconds until it is done: reach it, bring what it lacks, wait, run.
import type { CellFacts, CostParts, MeshFacts, PeerFacts, Prediction } from './types.ts'

/** Assumed where nothing was measured: a wide-area round trip, and 100 Mbit/s. */
export const ASSUMED_RTT_MS = 100
export const ASSUMED_BYTES_PER_SECOND = 12_500_000

export interface Cost {
  readonly parts: CostParts
  readonly totalMs: number
  /** What the module's transfer takes, counted in `parts` or not. */
  readonly moduleFetchMs: number
}

/** This peer has module and inputs: whatever another lacks travels over the link to it. */
export function costOf(cell: CellFacts, peer: PeerFacts, prediction: Prediction, mesh: MeshFacts): Cost {
  const bytesPerMs = (mesh.bytesPerSecond?.(peer.peer) ?? ASSUMED_BYTES_PER_SECOND) / 1000
  const transferMs = (bytes: number): number => (peer.self ? 0 : bytes / Math.max(bytesPerMs, 1e-3))
  const moduleFetchMs = transferMs(cell.moduleBytes)
  const fetchMs = transferMs(cell.inputBytes) + (peer.modules.includes(cell.module) ? 0 : moduleFetchMs)
  const rttMs = peer.self ? 0 : (peer.rttMs ?? ASSUMED_RTT_MS)
  const parts = { rttMs, fetchMs, waitMs: waitOf(peer, mesh), runMs: prediction.ms }
  return { parts, totalMs: rttMs + fetchMs + parts.waitMs + prediction.ms, moduleFetchMs }
}

/** The peer's own backlog, and what this peer sent there since it last said so, once that no longer fits its free slots. */
function waitOf(peer: PeerFacts, mesh: MeshFacts): number {
  const recent = mesh.recent?.(peer.peer)
  if (recent === undefined || recent.cells < peer.freeSlots) return peer.backlogMs
  return peer.backlogMs + recent.ms / Math.max(1, peer.slots ?? peer.freeSlots)
}

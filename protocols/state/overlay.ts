// Which peers to keep links with: O(log N) of them, half of them near and half of them anybody's. Pure.
//
// Near links make news cheap and estimates good; random ones make the whole graph an expander, so that news are everywhere within a
// few hops, and nobody who settles around a peer can cut it off: a link that others made is never a reason to give up our own choice.
import { type Random, shuffled } from '../../core/random.ts'
import type { PeerKey } from '../kit/types.ts'
import { FULL_MESH_PEERS, LINKS_PER_DOUBLING, MIN_LINKS, NEARER_BY, NEARER_BY_MS, SLACK_LINKS } from './protocol.ts'

/** Links to keep in a mesh of `peers`, this one included. */
export function wantedLinks(peers: number): number {
  return peers <= FULL_MESH_PEERS ? peers - 1 : Math.max(MIN_LINKS, Math.ceil(LINKS_PER_DOUBLING * Math.log2(peers)))
}

/** More than this many are not accepted: whoever asks finds others. */
export function mostLinks(peers: number): number {
  return 2 * wantedLinks(Math.max(peers, FULL_MESH_PEERS)) + SLACK_LINKS
}

export interface OverlayLink {
  readonly peer: PeerKey
  /** This end made it. */
  readonly outbound: boolean
  /** Milliseconds to the other end; undefined while that is unknown. */
  readonly rttMs: number | undefined
  /** How many links the other end has; 0 while it has not said. */
  readonly degree: number
}

export interface OverlayView {
  readonly links: readonly OverlayLink[]
  /** Members that could be linked: alive, not linked, not tried in vain just now. Asked for only when one is needed. */
  readonly candidates: () => readonly PeerKey[]
  /** Estimated milliseconds to a member. */
  readonly rttOf: (peer: PeerKey) => number | undefined
  /** Members present, this one included. */
  readonly peers: number
  /** Links that are being opened. */
  readonly opening: number
  /** It is time to look for nearer neighbours, or to take on a new random one. */
  readonly improve: boolean
  readonly exchange: boolean
}

export interface OverlayPlan {
  readonly open: readonly PeerKey[]
  readonly close: readonly PeerKey[]
}

/** Openings under way at once: a peer that starts in a large mesh has its links within some seconds. */
const AT_ONCE = 4

export function planOverlay(view: OverlayView, random: Random): OverlayPlan {
  const { links, peers, opening } = view
  const wanted = wantedLinks(peers)
  const missing = wanted - links.length
  if (missing > 0) {
    const count = Math.min(missing, AT_ONCE - opening)
    return { open: count <= 0 ? [] : chosen(view, count, random), close: [] }
  }
  const open: PeerKey[] = []
  if (peers > FULL_MESH_PEERS && opening === 0) {
    const nearer = view.improve ? nearerThan(view) : undefined
    const others = view.exchange && nearer === undefined ? view.candidates() : []
    const other = others[random.int(others.length)]
    if (nearer !== undefined) open.push(nearer)
    else if (other !== undefined) open.push(other)
  }
  return { open, close: surplus(view, wanted, random) }
}

/** Half of the wanted links are with the nearest: what is missing of that first, then anybody. */
function chosen(view: OverlayView, count: number, random: Random): PeerKey[] {
  const mixed = shuffled(view.candidates(), random)
  const nearest = byDistance(mixed, view)
  const nearWanted = Math.floor(wantedLinks(view.peers) / 2)
  const out: PeerKey[] = []
  for (let i = 0; out.length < Math.min(count, mixed.length) && i < 2 * mixed.length; i++) {
    const isNear = view.links.length + out.length < nearWanted && nearest.length > 0
    const peer = isNear ? nearest[i] : mixed[i]
    if (peer !== undefined && !out.includes(peer)) out.push(peer)
  }
  return out
}

/** Somebody who is clearly nearer than the farthest of the near half. */
function nearerThan(view: OverlayView): PeerKey | undefined {
  const near = nearHalf(view)
  const farthestMs = near.at(-1)?.rttMs
  const first = byDistance(view.candidates(), view)[0]
  const firstMs = first === undefined ? undefined : view.rttOf(first)
  if (farthestMs === undefined || firstMs === undefined) return undefined
  return firstMs < Math.min(NEARER_BY * farthestMs, farthestMs - NEARER_BY_MS) ? first : undefined
}

function nearHalf({ links, peers }: OverlayView): OverlayLink[] {
  const known = links.filter(({ rttMs }) => rttMs !== undefined)
  return known.sort((a, b) => (a.rttMs ?? 0) - (b.rttMs ?? 0)).slice(0, Math.floor(wantedLinks(peers) / 2))
}

/** One link too many goes at a time, and only one that its other end can spare. */
function surplus(view: OverlayView, wanted: number, random: Random): PeerKey[] {
  if (view.links.length <= wanted + SLACK_LINKS) return []
  const near = new Set(nearHalf(view).map(({ peer }) => peer))
  const spare = view.links.filter(({ peer, degree }) => !near.has(peer) && degree > wanted)
  // Those that others made go first.
  const theirs = spare.filter(({ outbound }) => !outbound)
  const from = theirs.length > 0 ? theirs : spare
  const one = from[random.int(from.length)]
  return one === undefined ? [] : [one.peer]
}

function byDistance(peers: readonly PeerKey[], { rttOf }: OverlayView): PeerKey[] {
  const known = peers.flatMap((peer) => {
    const ms = rttOf(peer)
    return ms === undefined ? [] : [{ peer, ms }]
  })
  return known.sort((a, b) => a.ms - b.ms).map(({ peer }) => peer)
}

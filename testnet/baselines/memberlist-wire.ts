// What memberlist says, and how long it is: structs in msgpack as maps, with the names of their fields, behind a byte for the type
// (`net.go`, `util.go` of github.com/hashicorp/memberlist). Nothing is compressed here: LZW, which is on by default, would shorten
// the names of the fields, and do nothing for keys and signatures, of which metadata like ours consists.

/** `DefaultLANConfig`, and constants of `net.go` and `util.go`. */
export const LAN = {
  gossipMs: 200,
  gossipNodes: 3,
  retransmitMult: 4,
  probeMs: 1_000,
  probeTimeoutMs: 500,
  indirectChecks: 3,
  suspicionMult: 4,
  suspicionMaxTimeoutMult: 6,
  awarenessMax: 8,
  pushPullMs: 30_000,
  pushPullScaleFrom: 32,
  gossipToTheDeadMs: 30_000,
  tcpTimeoutMs: 10_000,
  packetBytes: 1_400,
  compoundHeaderBytes: 2,
  compoundBytes: 2,
  crcBytes: 5,
} as const

/** A name of 16 characters, as a value. */
const NAME = 17
const ADDRESS = 5
const PORT = 3
/** An integer; most are neither tiny nor large. */
const INTEGER = 3
/** The byte for the type, and the map's. */
const TYPE = 1
const MAP = 1

/** The name of a field costs its length and one more. */
function field(name: string, valueBytes: number): number {
  return 1 + name.length + valueBytes
}

const IDENTITY = field('Addr', ADDRESS) + field('Port', PORT) + field('Incarnation', INTEGER) + field('Vsn', 7)

/** All of an alive message, so that metadata is 113 bytes: about what a record's hot part takes, signed. */
const ALIVE_BYTES = 190
const META_BYTES = ALIVE_BYTES - (TYPE + MAP + IDENTITY + field('Node', NAME) + field('Meta', 3))
const ACCUSATION_BYTES = TYPE + MAP + field('Incarnation', INTEGER) + field('Node', NAME) + field('From', NAME)
const SOURCE = field('SourceAddr', ADDRESS) + field('SourcePort', PORT) + field('SourceNode', NAME)
const PING_BYTES = TYPE + MAP + field('SeqNo', INTEGER) + field('Node', NAME) + SOURCE
const INDIRECT_BYTES = PING_BYTES + field('Target', ADDRESS) + field('Port', PORT) + field('Nack', 1)
const ACK_BYTES = TYPE + MAP + field('SeqNo', INTEGER) + field('Payload', 1)
const NACK_BYTES = TYPE + MAP + field('SeqNo', INTEGER)
const NODE_STATE_BYTES = MAP + IDENTITY + field('Name', NAME) + field('Meta', 3 + META_BYTES) + field('State', 1)
const PUSH_PULL_BYTES = TYPE + MAP + field('Nodes', 5) + field('UserStateLen', 1) + field('Join', 1)

export const STATUS = { alive: 0, suspect: 1, dead: 2, unknown: 3 } as const

/** Gossip. The same object wherever it gets to. */
export interface Broadcast {
  readonly kind: 'alive' | 'suspect' | 'dead'
  readonly about: number
  readonly incarnation: number
  /** Who says so. */
  readonly from: number
}

export type Control =
  | { readonly kind: 'ping'; readonly seq: number }
  | { readonly kind: 'indirect'; readonly seq: number; readonly target: number }
  | { readonly kind: 'ack'; readonly seq: number }
  | { readonly kind: 'nack'; readonly seq: number }

export interface Packet {
  readonly kind: 'packet'
  readonly control: Control | undefined
  readonly broadcasts: readonly Broadcast[]
}

/** All that one knows, on a link. */
export interface State {
  readonly kind: 'state'
  readonly statuses: Uint8Array
  readonly incarnations: Uint16Array
  readonly isAnswer: boolean
}

export type Wire = Packet | State | Control

export function broadcastBytes({ kind }: Broadcast): number {
  return kind === 'alive' ? ALIVE_BYTES : ACCUSATION_BYTES
}

const CONTROL_BYTES = { ping: PING_BYTES, indirect: INDIRECT_BYTES, ack: ACK_BYTES, nack: NACK_BYTES } as const

export function controlBytes({ kind }: Control): number {
  return CONTROL_BYTES[kind]
}

export function packetBytes({ control, broadcasts }: Packet): number {
  const parts = broadcasts.length + (control === undefined ? 0 : 1)
  const { compoundHeaderBytes, compoundBytes, crcBytes } = LAN
  let bytes = crcBytes + (parts > 1 ? compoundHeaderBytes + parts * compoundBytes : 0)
  if (control !== undefined) bytes += controlBytes(control)
  for (const broadcast of broadcasts) bytes += broadcastBytes(broadcast)
  return bytes
}

/** Neither yamux nor noise nor a length is on memberlist's streams, which the world counts on every link. */
const NOT_THERE_BYTES = 33
const SEGMENT_BYTES = 1_448
const SEGMENT_OVERHEAD_BYTES = 52

/** With the headers of all segments but the first, which the world counts. */
export function stateBytes(nodes: number): number {
  const bytes = PUSH_PULL_BYTES + nodes * NODE_STATE_BYTES
  return bytes - NOT_THERE_BYTES + (Math.ceil(bytes / SEGMENT_BYTES) - 1) * SEGMENT_OVERHEAD_BYTES
}

/** On a link, alone; less than nothing is taken off. */
export function streamedBytes(control: Control): number {
  return Math.max(0, controlBytes(control) - NOT_THERE_BYTES)
}

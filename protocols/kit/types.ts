// What every protocol is made of. Services see peers and message streams; libp2p stays behind `Network`.
import type { KitErrorCode } from './errors.ts'

/** A libp2p peer id as text (base58btc of the Ed25519 public key's multihash). */
export type PeerKey = string

/** One protocol, as data. Each number stands beside its reason in the folder's `protocol.ts`; the kit enforces all of them. */
export interface ProtocolSpec {
  /** `/cloudskin/<name>/<major.minor.patch>` */
  readonly id: string
  /** Longest message either side may send, bytes. A longer one aborts the stream before memory is taken. */
  readonly maxMessageBytes: number
  /** Open streams of this protocol per connection. */
  readonly maxInboundStreams: number
  readonly maxOutboundStreams: number
  /** Longest wait for one message, and the whole life of one stream, milliseconds. */
  readonly messageTimeoutMs: number
  readonly streamTimeoutMs: number
  /** Streams that one remote peer may open per minute; more are refused with status `BUSY`. */
  readonly streamsPerMinute: number
  /** Carries so much that each stream is worth a lane of its own, where one can be had; see `lanes.ts`. */
  readonly bulk?: true
  /** Who is heard: admitted members, or anyone (only the protocols by which one becomes a member). */
  readonly access: 'member' | 'anyone'
}

/** A stream of length-prefixed messages with one peer. Exactly one side sends first; either may close. */
export interface MessageStream {
  readonly peer: PeerKey
  /** Resolves when the transport took the message and has room for more: this is the flow control. */
  send(message: Uint8Array, init?: { readonly signal?: AbortSignal }): Promise<void>
  /** The next message; `undefined` once the remote has closed its side cleanly. Rejects with `STREAM_*`. */
  receive(init?: { readonly signal?: AbortSignal }): Promise<Uint8Array | undefined>
  /** Says that no more will be sent, and lets what was sent arrive. */
  close(): Promise<void>
  abort(error: Error): void
}

export interface HandlerContext {
  readonly peer: PeerKey
  /** Aborts with the service, the stream's deadline, or the connection. */
  readonly signal: AbortSignal
  /** Counts an offence of the remote that the handler answers politely, where somebody keeps count. */
  readonly blame?: (code: KitErrorCode) => void
}

/** Must not throw for anything the remote did; if it does, the kit aborts the stream and counts a penalty. */
export type StreamHandler = (stream: MessageStream, context: HandlerContext) => Promise<void>

export interface ConnectedPeer {
  readonly peer: PeerKey
  /** Multiaddr of the remote end. */
  readonly address: string
  readonly direction: 'inbound' | 'outbound'
  /** Milliseconds, when measured. */
  readonly rttMs?: number
}

/** The mesh as a service sees it. */
export interface Network {
  readonly self: PeerKey
  /** Registers the handler of `spec.id`; the returned function removes it and awaits the handlers still running. */
  handle(spec: ProtocolSpec, handler: StreamHandler): Promise<() => Promise<void>>
  /** Opens a stream to `peer`, dialling it at known addresses if need be. Rejects with `PEER_UNREACHABLE`, `PROTOCOL_UNSUPPORTED`, `NOT_ADMITTED`. */
  open(peer: PeerKey, spec: ProtocolSpec, init?: { readonly signal?: AbortSignal }): Promise<MessageStream>
  /** Admitted peers with an open connection. */
  connected(): readonly ConnectedPeer[]
  /** Called when a peer becomes (admitted and) connected, and when its last connection closes. Returns the unsubscriber. */
  onChange(listener: (peer: PeerKey, connected: boolean) => void): () => void
}

/** Signs with this peer's identity key. */
export interface Signer {
  readonly self: PeerKey
  /** Ed25519 (RFC 8032) signature, 64 bytes. */
  sign(message: Uint8Array): Promise<Uint8Array>
}

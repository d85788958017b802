// A state record as bytes: shape, bounds, signature. Decoding is total; nothing unsigned leaves this file as a record.
//
// A record is told in two parts. The cold part says what a peer is, and changes rarely; the hot part says how it is now. Only the
// hot part is signed: it names the cold part by hash, so that a refresh is 110 bytes and a signature, whatever the peer is.
import { equal, sha256Hex } from '../../core/bytes.ts'
import { CodedError, messageOf } from '../../core/errors.ts'
import * as s from '../../core/shape.ts'
import { signable } from '../kit/signing.ts'
import type { PeerKey, Signer } from '../kit/types.ts'
import { MAX_PACKED } from './coordinates.ts'
import type { StateErrorCode } from './errors.ts'
import type { Stamp, Stamped } from './merge.ts'
import {
  BORDER_PEERS,
  MAX_ADDRESS_CHARS,
  MAX_ADDRESSES,
  MAX_CELLS,
  MAX_HOT_BYTES,
  MAX_MODULES,
  MAX_RECORD_BYTES,
  STATE_DOMAIN,
} from './protocol.ts'
import type { OwnFields, StateRecord } from './types.ts'

/** A record with the very bytes that were signed: these are forwarded, unknown fields included. */
export interface SignedRecord extends Stamped {
  readonly peer: PeerKey
  /** The version from which on the cold part is what it is. */
  readonly coldVersion: number
  /** Its peer wants it known at once. */
  readonly urgent: boolean
  readonly record: StateRecord
  readonly hot: Uint8Array
  readonly signature: Uint8Array
  readonly cold: Uint8Array
}

/** A record on its way: what it is of is known, whether it is genuine is not. */
export interface Body extends Stamp {
  readonly peer: PeerKey
  /**
   * The record, verified; `held` is the one that its cold part may be taken from. Undefined when the cold part is neither in the
   * body nor held. Throws `STATE_RECORD_MALFORMED`, `STATE_RECORD_FORGED`.
   */
  open(held: SignedRecord | undefined): SignedRecord | undefined
}

/** What a record is made of when it is sealed. */
export interface Sealing {
  readonly record: StateRecord
  readonly urgent: boolean
  /** The record sealed before: its cold part, when that has not changed, keeps its version. */
  readonly before: SignedRecord | undefined
}

/** Tells whether `signature` is `peer`'s over `message`. */
export type Verify = (peer: PeerKey, message: Uint8Array, signature: Uint8Array) => boolean

/** Versions are counted in 31 bits: one a millisecond for 24 days. */
export const MAX_VERSION = 2 ** 31 - 1
const MAX_COUNT = 2 ** 52
const MAX_MEASURED_MS = 2 ** 45
const URGENT = 1
const LEFT = 2
const COLD_HASH_BYTES = 16

/** Peer ids are 52 characters today. */
export const peerShape = s.text(128)
export const incarnationShape = s.integer(0, MAX_COUNT)
export const versionShape = s.integer(0, MAX_VERSION)

const coldShape = s.object({
  name: s.text(64),
  zone: s.text(64),
  preset: s.text(32),
  labels: s.record(s.text(256), 64, 64),
  addresses: s.list(s.text(MAX_ADDRESS_CHARS), MAX_ADDRESSES),
  capacity: s.object({
    cpuCores: s.number(0, 65_536),
    memoryBytes: s.integer(),
    diskBytes: s.integer(),
    slots: s.integer(0, 65_536),
  }),
  calibration: s.record(s.number(0), 32, 64),
  fuelShare: s.number(0, 1),
  cells: s.list(s.object({ id: s.text(128), phase: s.text(32) }), MAX_CELLS),
  modules: s.list(s.text(64), MAX_MODULES),
  model: s.optional(s.object({ version: s.text(64), round: s.integer() })),
  roles: s.list(s.text(32), 8),
  agentVersion: s.text(64),
  summary: s.optional(
    s.object({
      peers: s.integer(0, MAX_COUNT),
      slots: s.integer(0, MAX_COUNT),
      freeSlots: s.integer(0, MAX_COUNT),
      cpuCores: s.number(0),
      freeCores: s.number(0),
      freeMemoryBytes: s.number(0),
      contacts: s.list(s.object({ peer: peerShape, addresses: s.list(s.text(MAX_ADDRESS_CHARS), 2) }), BORDER_PEERS),
    }),
  ),
})

const hotShape = s.object({
  /** incarnation, version, the cold part's version, flags, when it was measured (since the incarnation, ms) */
  s: s.list(s.integer(-MAX_MEASURED_MS, MAX_COUNT), 16),
  /** hash of the cold part */
  h: s.bytes(COLD_HASH_BYTES, COLD_HASH_BYTES),
  /** free cpu (thousandths), memory, disk, slots; backlog (ms), running, load (hundredths) */
  r: s.list(s.integer(), 16),
  /** coordinate */
  c: s.list(s.integer(-MAX_PACKED, MAX_PACKED), 16),
})

/** A peer that has measured nothing yet. */
export const EMPTY_FIELDS: OwnFields = {
  name: '',
  zone: '',
  preset: '',
  labels: {},
  addresses: [],
  capacity: { cpuCores: 0, memoryBytes: 0, diskBytes: 0, slots: 0 },
  free: { cpu: 0, memoryBytes: 0, diskBytes: 0, slots: 0 },
  load: { backlogMs: 0, running: 0, load1: 0 },
  calibration: {},
  fuelShare: 1,
  cells: [],
  modules: [],
  roles: [],
  agentVersion: '',
}

/** What the hot part can say: others see the same numbers as the peer itself. */
export function rounded(fields: OwnFields): OwnFields {
  const { free, load } = fields
  return {
    ...fields,
    free: { ...free, cpu: Math.round(free.cpu * 1_000) / 1_000 },
    load: { ...load, backlogMs: Math.round(load.backlogMs), load1: Math.round(load.load1 * 100) / 100 },
  }
}

function coldOf(record: StateRecord): Uint8Array {
  const { name, zone, preset, labels, addresses, capacity, calibration, fuelShare } = record
  const { cells, modules, model, roles, agentVersion, summary } = record
  const what = { name, zone, preset, labels, addresses, capacity, calibration, fuelShare }
  return s.toCbor({ ...what, cells, modules, model, roles, agentVersion, summary })
}

/** Both parts as bytes. Throws `STATE_RECORD_INVALID` for what no peer would accept. */
export function encodeRecord({ record, urgent, before }: Sealing): Pick<SignedRecord, 'hot' | 'cold' | 'coldVersion'> {
  const encoded = coldOf(record)
  const isSame =
    before !== undefined &&
    before.incarnation === record.incarnation &&
    equal(before.cold, encoded) &&
    encoded.length > 0
  const cold = isSame ? before.cold : encoded
  const coldVersion = isSame ? before.coldVersion : record.version
  const { free, load } = record
  const hot = s.toCbor({
    s: [
      record.incarnation,
      record.version,
      coldVersion,
      (urgent ? URGENT : 0) | (record.left === true ? LEFT : 0),
      record.measuredAt - record.incarnation,
    ],
    h: hashOf(cold),
    r: [
      Math.round(free.cpu * 1_000),
      free.memoryBytes,
      free.diskBytes,
      free.slots,
      Math.round(load.backlogMs),
      load.running,
      Math.round(load.load1 * 100),
    ],
    c: record.coordinate ?? [],
  })
  if (cold.length + hot.length > MAX_RECORD_BYTES)
    throw invalid(
      `the state record would take ${cold.length} bytes, ${MAX_RECORD_BYTES} are allowed: publish fewer labels`,
    )
  try {
    coldShape(record, '')
    decodeHot(hot)
  } catch (error) {
    throw invalid(`a published field is out of bounds: ${messageOf(error)}`)
  }
  return { hot, cold, coldVersion }
}

export async function signRecord(sealing: Sealing, signer: Pick<Signer, 'sign'>): Promise<SignedRecord> {
  const parts = encodeRecord(sealing)
  const signature = await signer.sign(signable(STATE_DOMAIN, parts.hot))
  return signedRecord(sealing, parts, signature)
}

export function signedRecord(
  { record, urgent }: Pick<Sealing, 'record' | 'urgent'>,
  parts: Pick<SignedRecord, 'hot' | 'cold' | 'coldVersion'>,
  signature: Uint8Array,
): SignedRecord {
  const { peer, incarnation, version } = record
  return { ...parts, peer, incarnation, version, urgent, record, signature, hash: sha256Hex(parts.hot, signature) }
}

/** The record of `body` as it came, to be opened once it is known to be news. */
export function bodyOf(
  stamp: Stamp & { readonly peer: PeerKey },
  bytes: { readonly hot: Uint8Array; readonly signature: Uint8Array; readonly cold?: Uint8Array | undefined },
  verify: Verify,
): Body {
  const { peer, incarnation, version } = stamp
  return { peer, incarnation, version, open: (held) => opened(stamp, bytes, held, verify) }
}

function opened(
  { peer, incarnation, version }: Stamp & { readonly peer: PeerKey },
  bytes: { readonly hot: Uint8Array; readonly signature: Uint8Array; readonly cold?: Uint8Array | undefined },
  held: SignedRecord | undefined,
  verify: Verify,
): SignedRecord | undefined {
  const { hot, signature } = bytes
  const said = decodeHot(hot)
  if (said.incarnation !== incarnation || said.version !== version)
    throw malformed('a record is not of the version that it was sent as')
  const isHeld = held !== undefined && equal(hashOf(held.cold), said.coldHash)
  if (bytes.cold === undefined && !isHeld) return undefined
  const cold = isHeld ? held.cold : (bytes.cold as Uint8Array)
  if (!isHeld && !equal(hashOf(cold), said.coldHash))
    throw malformed('the two parts of a record do not belong together')
  if (!verify(peer, signable(STATE_DOMAIN, hot), signature))
    throw new CodedError<StateErrorCode>('STATE_RECORD_FORGED', `a record of ${peer} was never signed by it`, {
      facts: { peer },
    })
  const { coldVersion, urgent, fields } = said
  const record = { ...(isHeld ? coldPart(held.record) : decodeCold(cold)), ...fields, peer, incarnation, version }
  return signedRecord({ record, urgent }, { hot, cold, coldVersion }, signature)
}

function coldPart(record: StateRecord): StateRecord {
  const { left: _left, coordinate: _coordinate, ...rest } = record
  return rest
}

function decodeCold(bytes: Uint8Array): s.Infer<typeof coldShape> {
  if (bytes.length > MAX_RECORD_BYTES) throw malformed(`a record of ${bytes.length} bytes is too long`)
  return s.fromCbor<s.Infer<typeof coldShape>, StateErrorCode>(bytes, coldShape, 'STATE_RECORD_MALFORMED')
}

type HotFields = Pick<StateRecord, 'free' | 'load' | 'measuredAt' | 'coordinate' | 'left'>

/** What a hot part says; numbers of later versions, behind those known here, are left alone. */
function decodeHot(bytes: Uint8Array): Stamp & {
  readonly coldVersion: number
  readonly coldHash: Uint8Array
  readonly urgent: boolean
  readonly fields: HotFields
} {
  if (bytes.length > MAX_HOT_BYTES) throw malformed(`a hot part of ${bytes.length} bytes is too long`)
  const hot = s.fromCbor<s.Infer<typeof hotShape>, StateErrorCode>(bytes, hotShape, 'STATE_RECORD_MALFORMED')
  const [incarnation = -1, version = -1, coldVersion = -1, flags = -1, measured = Number.NaN] = hot.s
  const [cpu = -1, memoryBytes = -1, diskBytes = -1, slots = -1, backlogMs = -1, running = -1, load1 = -1] = hot.r
  const isCounted = incarnation >= 0 && version >= 0 && version <= MAX_VERSION && coldVersion >= 0 && flags >= 0
  if (!isCounted || coldVersion > version || cpu < 0 || cpu > 1_000 || slots > 65_536 || running > 65_536 || load1 < 0)
    throw malformed('a hot part lacks a number, or has one that is out of bounds')
  const measuredAt = incarnation + measured
  if (!(measuredAt >= 0 && measuredAt <= MAX_COUNT)) throw malformed('a record was measured at no time')
  const fields: HotFields = {
    free: { cpu: cpu / 1_000, memoryBytes, diskBytes, slots },
    load: { backlogMs, running, load1: load1 / 100 },
    measuredAt,
    ...(hot.c.length === 0 ? {} : { coordinate: hot.c }),
    ...((flags & LEFT) === 0 ? {} : { left: true }),
  }
  return { incarnation, version, coldVersion, coldHash: hot.h, urgent: (flags & URGENT) !== 0, fields }
}

/** Chosen by the peer itself, who gains nothing from two parts of one hash: 16 bytes keep others from forging one. */
function hashOf(cold: Uint8Array): Uint8Array {
  return Buffer.from(sha256Hex(cold).slice(0, 2 * COLD_HASH_BYTES), 'hex')
}

function invalid(message: string): CodedError<StateErrorCode> {
  return new CodedError('STATE_RECORD_INVALID', message)
}

function malformed(message: string): CodedError<StateErrorCode> {
  return new CodedError('STATE_RECORD_MALFORMED', message)
}

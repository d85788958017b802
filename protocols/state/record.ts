// A state record as bytes: shape, bounds, signature. Decoding is total; nothing unsigned leaves this file as a record.
import { sha256Hex } from '../../core/bytes.ts'
import { CodedError, messageOf } from '../../core/errors.ts'
import * as s from '../../core/shape.ts'
import { signable, verifySignature } from '../kit/signing.ts'
import type { Signer } from '../kit/types.ts'
import { MAX_PACKED } from './coordinates.ts'
import type { StateErrorCode } from './errors.ts'
import { MAX_ADDRESS_CHARS, MAX_ADDRESSES, MAX_CELLS, MAX_MODULES, MAX_RECORD_BYTES, STATE_DOMAIN } from './protocol.ts'
import type { OwnFields, StateRecord } from './types.ts'

/** A record with the very bytes that were signed: these are forwarded, unknown fields included. */
export interface SignedRecord {
  readonly record: StateRecord
  readonly bytes: Uint8Array
  readonly signature: Uint8Array
  /** Hex SHA-256 over bytes and signature: breaks ties between records of one version. */
  readonly hash: string
}

const MAX_COUNT = 2 ** 52

/** Peer ids are 52 characters today. */
export const peerShape = s.text(128)
export const counterShape = s.integer(0, MAX_COUNT)

const recordShape: s.Shape<StateRecord> = s.object({
  peer: peerShape,
  incarnation: counterShape,
  version: counterShape,
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
  free: s.object({
    cpu: s.number(0, 1),
    memoryBytes: s.integer(),
    diskBytes: s.integer(),
    slots: s.integer(0, 65_536),
  }),
  load: s.object({ backlogMs: s.number(0), running: s.integer(0, 65_536), load1: s.number(0) }),
  calibration: s.record(s.number(0), 32, 64),
  fuelShare: s.number(0, 1),
  cells: s.list(s.object({ id: s.text(128), phase: s.text(32) }), MAX_CELLS),
  modules: s.list(s.text(64), MAX_MODULES),
  model: s.optional(s.object({ version: s.text(64), round: s.integer() })),
  roles: s.list(s.text(32), 8),
  agentVersion: s.text(64),
  measuredAt: counterShape,
  coordinate: s.optional(s.list(s.integer(-MAX_PACKED, MAX_PACKED), 16)),
  left: s.optional(s.boolean),
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

/** The bytes to sign. Throws `STATE_RECORD_INVALID` for what no peer would accept. */
export function encodeRecord(record: StateRecord): Uint8Array {
  const bytes = s.toCbor(record)
  if (bytes.length > MAX_RECORD_BYTES)
    throw invalid(
      `the state record would take ${bytes.length} bytes, ${MAX_RECORD_BYTES} are allowed: publish fewer labels`,
    )
  try {
    recordShape(record, '')
  } catch (error) {
    throw invalid(`a published field is out of bounds: ${messageOf(error)}`)
  }
  return bytes
}

export async function signRecord(record: StateRecord, signer: Signer): Promise<SignedRecord> {
  const bytes = encodeRecord(record)
  const signature = await signer.sign(signable(STATE_DOMAIN, bytes))
  return { record, bytes, signature, hash: sha256Hex(bytes, signature) }
}

/** Checks form and bounds only: the signature is still to be verified. Throws `STATE_RECORD_MALFORMED`. */
export function decodeRecord(bytes: Uint8Array, signature: Uint8Array): SignedRecord {
  if (bytes.length > MAX_RECORD_BYTES)
    throw new CodedError<StateErrorCode>('STATE_RECORD_MALFORMED', `a record of ${bytes.length} bytes is too long`)
  const record = s.fromCbor(bytes, recordShape, 'STATE_RECORD_MALFORMED')
  return { record, bytes, signature, hash: sha256Hex(bytes, signature) }
}

/** True when the peer that the record speaks of signed it. */
export function verifyRecord(signed: SignedRecord): Promise<boolean> {
  return verifySignature(signed.record.peer, signable(STATE_DOMAIN, signed.bytes), signed.signature)
}

function invalid(message: string): CodedError<StateErrorCode> {
  return new CodedError('STATE_RECORD_INVALID', message)
}

// Records and signers for tests of the state protocol.
import { generateKeyPair } from '@libp2p/crypto/keys'
import { signerOf } from '../../../protocols/kit/signing.ts'
import type { Signer } from '../../../protocols/kit/types.ts'
import { EMPTY_FIELDS, type SignedRecord, signRecord } from '../../../protocols/state/record.ts'
import type { StateRecord } from '../../../protocols/state/types.ts'

export async function newSigner(): Promise<Signer> {
  return signerOf(await generateKeyPair('Ed25519'))
}

export function recordOf(peer: string, patch: Partial<StateRecord> = {}): StateRecord {
  return { ...EMPTY_FIELDS, peer, incarnation: 1, version: 1, measuredAt: 0, ...patch }
}

export function signed(signer: Signer, patch: Partial<StateRecord> = {}): Promise<SignedRecord> {
  return signRecord({ record: recordOf(signer.self, patch), urgent: false, before: undefined }, signer)
}

// Signatures by peers: a peer id of an Ed25519 key carries the public key itself, so nothing has to be looked up.
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import { concat, utf8 } from '../../core/bytes.ts'
import type { PeerKey, Signer } from './types.ts'

/** A signer for `key`. Every use names its `domain`, so that no signature can be replayed as another kind of message. */
export function signerOf(key: PrivateKey): Signer {
  return { self: peerIdFromPrivateKey(key).toString(), sign: async (message) => key.sign(message) }
}

/** The bytes that are signed for `payload` under `domain`, e.g. `cloudskin-manifest-v1`. */
export function signable(domain: string, payload: Uint8Array): Uint8Array {
  return concat([utf8(`${domain}\n`), payload])
}

/** True when `signature` is `peer`'s over `message`; false for anything else, a malformed peer id included. */
export async function verifySignature(peer: PeerKey, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  try {
    const key = peerIdFromString(peer).publicKey
    return key !== undefined && key.type === 'Ed25519' && (await key.verify(message, signature))
  } catch {
    return false
  }
}

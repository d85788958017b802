// Signatures by peers: a peer id of an Ed25519 key carries the public key itself, so nothing has to be looked up.
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
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

/** Public keys that are held ready: making one takes a quarter of the time of a verification. */
const MAX_KEYS = 4_096

/** Verifies at once, and many signatures of the same peers: a hundred microseconds each on a slow core. */
export class Verifier {
  readonly #keys = new Map<PeerKey, KeyObject>()

  /** As `verifySignature`. */
  readonly verify = (peer: PeerKey, message: Uint8Array, signature: Uint8Array): boolean => {
    try {
      const key = this.#keys.get(peer) ?? this.#keyOf(peer)
      return key !== undefined && verify(null, message, key, signature)
    } catch {
      return false
    }
  }

  #keyOf(peer: PeerKey): KeyObject | undefined {
    const key = peerIdFromString(peer).publicKey
    if (key?.type !== 'Ed25519') return undefined
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(key.raw).toString('base64url') }
    const made = createPublicKey({ key: jwk, format: 'jwk' })
    const oldest = this.#keys.keys().next().value
    if (this.#keys.size >= MAX_KEYS && oldest !== undefined) this.#keys.delete(oldest)
    this.#keys.set(peer, made)
    return made
  }
}

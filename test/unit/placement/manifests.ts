// Valid manifests for tests, and the key that signs them.
import { generateKeyPair } from '@libp2p/crypto/keys'
import { sha256Hex, utf8 } from '../../../core/bytes.ts'
import { signerOf } from '../../../protocols/kit/signing.ts'
import type { Signer } from '../../../protocols/kit/types.ts'
import type { CellManifest } from '../../../protocols/placement/index.ts'

export async function newSigner(): Promise<Signer> {
  return signerOf(await generateKeyPair('Ed25519'))
}

export function manifestBy(owner: string, changes: Partial<CellManifest> = {}): CellManifest {
  return {
    v: 1,
    name: 'talk',
    module: sha256Hex(utf8('module')),
    moduleBytes: 21_000_000,
    args: ['talk.wasm', '-f', '/in/text.txt'],
    env: { LANG: 'en' },
    inputs: [{ path: '/in/text.txt', cid: sha256Hex(utf8('text')), bytes: 1000 }],
    stdin: { cid: sha256Hex(utf8('stdin')), bytes: 24 },
    outputs: ['/out/a.wav'],
    limits: { memoryBytes: 64 << 20, wallMs: 60_000, fuel: 1e12, outputBytes: 1 << 20, diskBytes: 64 << 20 },
    constraints: { labels: { site: 'roadside' }, zone: 'north', notPeers: [] },
    owner,
    submittedAt: 1_700_000_000_000,
    nonce: new Uint8Array(16).fill(7),
    ...changes,
  }
}

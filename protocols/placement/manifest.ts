// What is to run, for whom, and where it may: one signed value, whose hash is the cell's name.
import { sha256Hex } from '../../core/bytes.ts'
import * as s from '../../core/shape.ts'
import { signable, verifySignature } from '../kit/signing.ts'
import type { PeerKey, Signer } from '../kit/types.ts'
import { type PlacementErrorCode, placementError } from './errors.ts'
import { bytesCount, cidShape, pathShape, peerShape } from './shapes.ts'

/** Longest encoded manifest: room for a long command line and a few hundred files, little enough to hold thousands. */
export const MAX_MANIFEST_BYTES = 256 * 1024

const DOMAIN = 'cloudskin-manifest-v1'

export interface BlobRef {
  /** Hex SHA-256. */
  readonly cid: string
  readonly bytes: number
}

export interface InputFile extends BlobRef {
  readonly path: string
}

export interface CellConstraints {
  /** Labels that the host must have, with these very values. */
  readonly labels: Readonly<Record<string, string>>
  readonly zone?: string
  /** Only this peer. */
  readonly peer?: PeerKey
  readonly notPeers: readonly PeerKey[]
}

/** Hard limits; the engine says what passing each of them means. */
export interface ManifestLimits {
  readonly memoryBytes: number
  readonly wallMs: number
  readonly fuel: number
  readonly outputBytes: number
  readonly diskBytes: number
}

export interface CellManifest {
  readonly v: 1
  /** For people; not unique. */
  readonly name: string
  /** Hex SHA-256 of the untouched module. */
  readonly module: string
  readonly moduleBytes: number
  /** `args[0]` is the program's name. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly inputs: readonly InputFile[]
  readonly stdin?: BlobRef
  /** More standard input comes while it runs, from whoever is attached at the owner; until then a program that reads waits. */
  readonly stdinOpen?: boolean
  /** Any text: makes the program's random bytes the same in every run, wherever it runs. By default they are the host's. */
  readonly seed?: string
  /** Paths to bring back when it has finished; empty for every file that it changed. */
  readonly outputs: readonly string[]
  readonly limits: ManifestLimits
  /** What runs it. @default 'wasi' */
  readonly engine?: 'wasi' | 'wasix'
  /** False: the module runs untouched and stays where it starts. On `wasix` always so. @default true on `wasi` */
  readonly migratable?: boolean
  /** `canonical`: the same results of operations on floats on every processor, in all their bits. @default 'native' */
  readonly nan?: 'native' | 'canonical'
  readonly constraints: CellConstraints
  /** The submitting peer: signs this, keeps the cell's record, and alone may command it. */
  readonly owner: PeerKey
  /** The owner's wall clock, milliseconds. */
  readonly submittedAt: number
  /** 16 random bytes: two submissions of the same work are two cells. */
  readonly nonce: Uint8Array
}

/** A manifest as it travels and is kept: the very bytes that were signed. */
export interface SignedManifest {
  readonly bytes: Uint8Array
  /** Ed25519, by the owner. */
  readonly signature: Uint8Array
}

export const signedManifestShape: s.Shape<SignedManifest> = s.object({
  bytes: s.bytes(MAX_MANIFEST_BYTES, 1),
  signature: s.bytes(64, 64),
})

export const constraintsShape: s.Shape<CellConstraints> = s.object({
  labels: s.record(s.text(256), 64),
  zone: s.optional(s.text(128)),
  peer: s.optional(peerShape),
  notPeers: s.list(peerShape, 256),
})

const blobFields = { cid: cidShape, bytes: bytesCount }

/** More than 256 of anything on a command line or in a list of files belongs into an archive. */
const MAX_ITEMS = 256
/** A hash as text, and more. */
const MAX_SEED_CHARS = 256

const manifestShape: s.Shape<CellManifest> = s.object({
  v: s.oneOf(1),
  name: s.text(128),
  module: cidShape,
  moduleBytes: s.integer(1),
  args: s.list(s.text(4096), MAX_ITEMS),
  env: s.record(s.text(4096), MAX_ITEMS),
  inputs: s.list(s.object({ path: pathShape, ...blobFields }), MAX_ITEMS),
  stdin: s.optional(s.object(blobFields)),
  stdinOpen: s.optional(s.boolean),
  seed: s.optional(s.text(MAX_SEED_CHARS)),
  outputs: s.list(pathShape, MAX_ITEMS),
  limits: s.object({
    memoryBytes: s.integer(1),
    wallMs: s.integer(1),
    fuel: s.integer(1),
    outputBytes: s.integer(0),
    diskBytes: s.integer(0),
  }),
  engine: s.optional(s.oneOf('wasi', 'wasix')),
  migratable: s.optional(s.boolean),
  nan: s.optional(s.oneOf('native', 'canonical')),
  constraints: constraintsShape,
  owner: peerShape,
  submittedAt: s.integer(0),
  nonce: s.bytes(16, 16),
})

/** The cell's name: hex SHA-256 of the manifest's bytes. */
export function cellIdOf(manifest: Uint8Array): string {
  return sha256Hex(manifest)
}

/** Total and bounded; throws `MANIFEST_MALFORMED`. Says nothing about who signed it. */
export function decodeManifest(bytes: Uint8Array): CellManifest {
  if (bytes.length > MAX_MANIFEST_BYTES)
    throw placementError('MANIFEST_MALFORMED', `a manifest of ${bytes.length} bytes; ${MAX_MANIFEST_BYTES} is the most`)
  const code: PlacementErrorCode = 'MANIFEST_MALFORMED'
  const manifest = s.fromCbor(bytes, manifestShape, code)
  const paths = new Set(manifest.inputs.map((input) => input.path))
  if (paths.size < manifest.inputs.length)
    throw placementError(code, 'two input files of the manifest have the same path; give each its own')
  if (manifest.engine === 'wasix' && manifest.migratable === true)
    throw placementError(code, 'a cell on the engine wasix cannot be migratable; leave that out, or take wasi')
  if (manifest.engine === 'wasix' && manifest.seed !== undefined)
    throw placementError(code, 'the engine wasix has randomness of its own; leave the seed out, or take wasi')
  if (manifest.engine === 'wasix' && manifest.nan === 'canonical')
    throw placementError(code, 'the engine wasix has the NaNs of its processor; leave that out, or take wasi')
  if (manifest.engine === 'wasix' && manifest.stdinOpen === true)
    throw placementError(code, 'the engine wasix has its standard input whole at the start; take wasi for more')
  return manifest
}

/** Encodes and signs. `manifest.owner` must be the signer; what would not be read back throws `MANIFEST_MALFORMED`. */
export async function signManifest(
  manifest: CellManifest,
  signer: Signer,
): Promise<{ readonly cell: string; readonly signed: SignedManifest }> {
  if (manifest.owner !== signer.self)
    throw placementError(
      'MANIFEST_FORGED',
      `the manifest names ${manifest.owner} as owner, but ${signer.self} signs it`,
    )
  const bytes = s.toCbor(manifest)
  decodeManifest(bytes)
  return { cell: cellIdOf(bytes), signed: { bytes, signature: await signer.sign(signable(DOMAIN, bytes)) } }
}

/** Decodes and checks the owner's signature; throws `MANIFEST_MALFORMED` or `MANIFEST_FORGED`. */
export async function openManifest(
  signed: SignedManifest,
): Promise<{ readonly cell: string; readonly manifest: CellManifest }> {
  const manifest = decodeManifest(signed.bytes)
  if (!(await verifySignature(manifest.owner, signable(DOMAIN, signed.bytes), signed.signature)))
    throw placementError('MANIFEST_FORGED', `the manifest of "${manifest.name}" is not signed by its owner`, {
      owner: manifest.owner,
    })
  return { cell: cellIdOf(signed.bytes), manifest }
}

/** Bytes that a host must have before the program starts, the module left aside. */
export function inputBytesOf(manifest: CellManifest): number {
  return manifest.inputs.reduce((sum, input) => sum + input.bytes, manifest.stdin?.bytes ?? 0)
}

// Who this peer is: its Ed25519 key, its membership, and the owner key where it made the mesh. All in the home, all 0600.
import { open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { CodedError, messageOf } from '../core/errors.ts'
import * as s from '../core/shape.ts'
import {
  issueCertificate,
  type Membership,
  meshIdOf,
  ROLES,
  signedCertificateShape,
} from '../protocols/admission/index.ts'
import { signerOf } from '../protocols/kit/signing.ts'
import type { NodeErrorCode } from './errors.ts'

const IDENTITY_FILE = 'identity.key'
const OWNER_FILE = 'owner.key'
const MESH_FILE = 'mesh.cbor'

const membershipShape: s.Shape<Membership> = s.union({
  open: s.object({}),
  closed: s.object({ mesh: s.text(64), psk: s.bytes(32, 32), certificate: signedCertificateShape }),
})

/** The peer's key; made at the first start, and the same ever after. */
export async function loadIdentity(home: string): Promise<PrivateKey> {
  return (await readKey(home, IDENTITY_FILE)) ?? (await makeKey(home, IDENTITY_FILE))
}

export function loadOwner(home: string): Promise<PrivateKey | undefined> {
  return readKey(home, OWNER_FILE)
}

export async function loadMembership(home: string): Promise<Membership | undefined> {
  const bytes = await readMaybe(home, MESH_FILE)
  if (bytes === undefined) return undefined
  try {
    return s.fromCbor<Membership, NodeErrorCode>(bytes, membershipShape, 'HOME_UNREADABLE')
  } catch (error) {
    throw damaged(join(home, MESH_FILE), error)
  }
}

export async function saveMembership(home: string, membership: Membership): Promise<void> {
  await writeWhole(home, MESH_FILE, s.toCbor(membership))
}

/** A new mesh: an owner key, a secret for its private network, and a certificate with every role for this peer. */
export async function makeMesh(home: string, identity: PrivateKey, psk: Uint8Array, now: number): Promise<Membership> {
  const owner = signerOf((await loadOwner(home)) ?? (await makeKey(home, OWNER_FILE)))
  const mesh = meshIdOf(owner.self)
  const certificate = await issueCertificate(owner, { mesh, peer: signerOf(identity).self, roles: ROLES, now })
  const membership: Membership = { kind: 'closed', mesh, psk, certificate }
  await saveMembership(home, membership)
  return membership
}

/** The owner key as text (base64 of libp2p's protobuf), to be kept somewhere safe. Rejects with `OWNER_KEY_MISSING`. */
export async function exportOwner(home: string): Promise<string> {
  const bytes = await readMaybe(home, OWNER_FILE)
  if (bytes === undefined) {
    throw new CodedError<NodeErrorCode>(
      'OWNER_KEY_MISSING',
      `${home} holds no owner key: only the peer that made the mesh has it`,
      {
        facts: { home },
      },
    )
  }
  return Buffer.from(bytes).toString('base64')
}

async function readKey(home: string, file: string): Promise<PrivateKey | undefined> {
  const bytes = await readMaybe(home, file)
  if (bytes === undefined) return undefined
  try {
    const key = privateKeyFromProtobuf(bytes)
    if (key.type !== 'Ed25519') throw new Error(`it is a key of type ${key.type}, not Ed25519`)
    return key
  } catch (error) {
    throw damaged(join(home, file), error)
  }
}

async function makeKey(home: string, file: string): Promise<PrivateKey> {
  const key = await generateKeyPair('Ed25519')
  await writeWhole(home, file, privateKeyToProtobuf(key))
  return key
}

async function readMaybe(home: string, file: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(join(home, file))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unreadable(join(home, file), error)
  }
}

/** Under the name stands the old content or the new, never a part; the new, once this resolves, also after a loss of power. */
async function writeWhole(home: string, file: string, bytes: Uint8Array): Promise<void> {
  const path = join(home, file)
  try {
    await writeFile(`${path}.new`, bytes, { mode: 0o600, flush: true })
    await rename(`${path}.new`, path)
    await syncFolder(home)
  } catch (error) {
    await rm(`${path}.new`, { force: true })
    throw unreadable(path, error)
  }
}

/** A rename is on the disk when its folder is (fsync(2)). */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function damaged(path: string, cause: unknown): CodedError<NodeErrorCode> {
  return new CodedError(
    'HOME_UNREADABLE',
    `${path} is damaged: ${messageOf(cause)}; put back a copy of it, or use another --home`,
    { facts: { path }, cause },
  )
}

function unreadable(path: string, cause: unknown): CodedError<NodeErrorCode> {
  const full = (cause as NodeJS.ErrnoException).code === 'ENOSPC'
  const advice = full
    ? 'free some space, or move the home to a larger disk'
    : 'check that this user may read and write the home and all in it'
  return new CodedError(
    full ? 'HOME_FULL' : 'HOME_UNREADABLE',
    `${path} cannot be read or written: ${messageOf(cause)}; ${advice}`,
    { facts: { path }, cause },
  )
}

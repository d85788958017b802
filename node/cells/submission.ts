// From a control request to a signed manifest: names resolved, defaults filled in, everything named is at hand.
import type { Clock } from '../../core/clock.ts'
import { CodedError } from '../../core/errors.ts'
import type { Random } from '../../core/random.ts'
import type { BlobStore } from '../../protocols/blobs/index.ts'
import type { PeerKey, Signer } from '../../protocols/kit/types.ts'
import { type BlobRef, type CellManifest, type SignedManifest, signManifest } from '../../protocols/placement/index.ts'
import type { SubmitRequest } from '../control/api.ts'
import type { CellsErrorCode } from './errors.ts'
import { blobUnknown } from './module-facts.ts'
import type { Names } from './types.ts'

/**
 * What a cell may use where the request does not say: enough for a real tool, little enough to notice a runaway. What it
 * is given comes on top of the disk: its inputs take room there, and its stdin in a snapshot.
 */
export const DEFAULT_LIMITS = {
  memoryBytes: 256 * 1024 * 1024,
  wallMs: 600_000,
  fuel: Number.MAX_SAFE_INTEGER,
  outputBytes: 16 * 1024 * 1024,
  diskBytes: 256 * 1024 * 1024,
} as const

export interface SubmissionPorts {
  readonly store: BlobStore
  readonly signer: Signer
  readonly clock: Clock
  readonly random: Random
  readonly names: Names
}

export async function manifestOf(
  request: SubmitRequest,
  ports: SubmissionPorts,
): Promise<{ cell: string; manifest: CellManifest; signed: SignedManifest }> {
  const refOf = async (cid: string): Promise<BlobRef> => {
    const bytes = await ports.store.size(cid)
    if (bytes === undefined) throw blobUnknown(cid)
    return { cid, bytes }
  }
  const { labels, zone, peer } = request.constraints
  const inputs = await Promise.all(request.inputs.map(async ({ path, cid }) => ({ path, ...(await refOf(cid)) })))
  const stdin = request.stdin === undefined ? undefined : await refOf(request.stdin)
  const givenBytes = inputs.reduce((sum, { bytes }) => sum + bytes, stdin?.bytes ?? 0)
  const manifest: CellManifest = {
    v: 1,
    name: request.name,
    module: request.module,
    moduleBytes: (await refOf(request.module)).bytes,
    args: request.args,
    env: request.env,
    inputs,
    outputs: request.outputs,
    ...(request.engine === undefined ? {} : { engine: request.engine }),
    ...(request.stdinOpen === undefined ? {} : { stdinOpen: request.stdinOpen }),
    ...(request.seed === undefined ? {} : { seed: request.seed }),
    ...(request.migratable === undefined ? {} : { migratable: request.migratable }),
    ...(request.nan === undefined ? {} : { nan: request.nan }),
    limits: { ...DEFAULT_LIMITS, diskBytes: DEFAULT_LIMITS.diskBytes + givenBytes, ...request.limits },
    constraints: {
      labels,
      notPeers: [],
      ...(zone === undefined ? {} : { zone }),
      ...(peer === undefined ? {} : { peer: onePeer(ports.names, peer) }),
    },
    owner: ports.signer.self,
    submittedAt: ports.clock.now(),
    nonce: ports.random.bytes(16),
    ...(stdin === undefined ? {} : { stdin }),
  }
  return { manifest, ...(await signManifest(manifest, ports.signer)) }
}

/** The same work as a new cell. */
export async function manifestAgain(
  old: CellManifest,
  ports: SubmissionPorts,
): Promise<{ cell: string; manifest: CellManifest; signed: SignedManifest }> {
  const manifest = { ...old, submittedAt: ports.clock.now(), nonce: ports.random.bytes(16) }
  return { manifest, ...(await signManifest(manifest, ports.signer)) }
}

/** The peer that `text` names: its id, the end of its id, or its name. */
export function onePeer(names: Names, text: string): PeerKey {
  const found = names.find(text)
  const [peer] = found
  if (peer === undefined) {
    throw new CodedError<CellsErrorCode>('PEER_UNKNOWN', `no peer is called ${text}; "cloudskin peers" lists them`)
  }
  if (found.length > 1) {
    throw new CodedError<CellsErrorCode>(
      'PEER_AMBIGUOUS',
      `${found.length} peers are called ${text}; give the id, or its end`,
    )
  }
  return peer
}

/** Everything a host must fetch. */
export function cidsOf(manifest: CellManifest): string[] {
  const stdin = manifest.stdin === undefined ? [] : [manifest.stdin.cid]
  return [manifest.module, ...manifest.inputs.map((input) => input.cid), ...stdin]
}

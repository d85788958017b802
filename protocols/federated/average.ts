// The weighted mean of a set of updates, to the last bit the same on every peer, and the checks an update must pass.
import { hex, sha256, utf8 } from '../../core/bytes.ts'
import { CodedError } from '../../core/errors.ts'
import { toCbor } from '../../core/shape.ts'
import type { PeerKey } from '../kit/types.ts'
import type { FederatedErrorCode } from './errors.ts'
import { floatBytes } from './lineage.ts'
import { MAX_MAGNITUDE } from './protocol.ts'
import type { TaskDescriptor } from './types.ts'

/** One member's part: where its training led from the parent, and on how many samples. */
export interface Update {
  readonly delta: Float32Array
  /** Samples, at least 1; counted up to the task's cap. */
  readonly weight: number
  /** Hex hash of both: what receipts name. */
  readonly hash: string
}

export function updateOf(delta: Float32Array, weight: number): Update {
  return { delta, weight, hash: updateHash(floatBytes(delta), weight) }
}

export function updateHash(deltaBytes: Uint8Array, weight: number): string {
  return hex(sha256(utf8('cloudskin-fl-update-v1\n'), toCbor({ weight }), deltaBytes))
}

/** Throws `UPDATE_WRONG_SHAPE` or `UPDATE_NOT_FINITE`. */
export function checkTensor(task: TaskDescriptor, values: Float32Array): void {
  if (values.length !== task.parameters)
    throw new CodedError<FederatedErrorCode>(
      'UPDATE_WRONG_SHAPE',
      `${values.length} parameters where ${task.id} has ${task.parameters}`,
    )
  // Written so that NaN fails too.
  if (!values.every((value) => Math.abs(value) <= MAX_MAGNITUDE))
    throw new CodedError<FederatedErrorCode>(
      'UPDATE_NOT_FINITE',
      `a parameter is not a number between -${MAX_MAGNITUDE} and ${MAX_MAGNITUDE}`,
    )
}

/**
 * FedAvg (McMahan 2017): `parent` plus the mean of the updates, each weighted by its samples up to the cap. Summed in the
 * order of peer ids in double precision and rounded once, so arrival order and machine make no difference.
 */
export function average(
  task: TaskDescriptor,
  parent: Float32Array,
  updates: ReadonlyMap<PeerKey, Pick<Update, 'delta' | 'weight'>>,
): Float32Array {
  const sum = new Float64Array(parent.length)
  let total = 0
  for (const peer of [...updates.keys()].sort()) {
    const update = updates.get(peer)
    if (update === undefined) continue
    const weight = Math.min(update.weight, task.weightCap)
    total += weight
    for (let k = 0; k < sum.length; k++) sum[k] = (sum[k] ?? 0) + weight * (update.delta[k] ?? 0)
  }
  return parent.map((value, k) => value + (total === 0 ? 0 : (sum[k] ?? 0) / total))
}

// From a request to a manifest: what holds where the request does not say.
import { expect, it } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import { DEFAULT_LIMITS, manifestOf, type SubmissionPorts } from '../../../node/cells/submission.ts'
import type { SubmitRequest } from '../../../node/control/api.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const size = 300 * 1024 * 1024
const cid = 'c1'.repeat(32)

const ports = {
  store: { size: async () => size },
  signer: { self: 'owner', sign: async () => new Uint8Array(64) },
  clock: new ManualClock(),
  random: seededRandom(1),
  names: { find: () => [] },
} as unknown as SubmissionPorts

function request(limits: SubmitRequest['limits']): SubmitRequest {
  const inputs = [{ path: '/in/a', cid }]
  return {
    name: 'n',
    module: cid,
    args: ['n'],
    env: {},
    inputs,
    stdin: cid,
    outputs: [],
    limits,
    constraints: { labels: {} },
  }
}

it('leaves the usual room on the disk whatever a cell is given', async () => {
  const { manifest } = await manifestOf(request({}), ports)
  expect(manifest.limits).toEqual({ ...DEFAULT_LIMITS, diskBytes: DEFAULT_LIMITS.diskBytes + 2 * size })
})

it('takes limits as they are asked for', async () => {
  const { manifest } = await manifestOf(request({ diskBytes: 7, fuel: 9 }), ports)
  expect(manifest.limits).toEqual({ ...DEFAULT_LIMITS, diskBytes: 7, fuel: 9 })
})

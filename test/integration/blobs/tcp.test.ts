import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { afterEach, expect, test } from 'vitest'
import { systemClock } from '../../../core/clock.ts'
import { systemRandom } from '../../../core/random.ts'
import { FileBlobStore } from '../../../node/blob-store.ts'
import { createNode } from '../../../node/libp2p.ts'
import { type BlobService, blobService } from '../../../protocols/blobs/index.ts'
import { Libp2pNetwork } from '../../../protocols/kit/libp2p-network.ts'
import { signerOf } from '../../../protocols/kit/signing.ts'
import { type StateService, stateService } from '../../../protocols/state/index.ts'
import { eventually } from '../../support/eventually.ts'

const log = defaultLogger().forComponent('test:tcp')
const openGate = { admitted: () => true, ensure: async () => undefined, onChange: () => () => undefined }
const undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

interface Peer {
  readonly node: Awaited<ReturnType<typeof createNode>>
  readonly store: FileBlobStore
  readonly blobs: BlobService
  readonly state: StateService
}

async function peer(): Promise<Peer> {
  const key = await generateKeyPair('Ed25519')
  const node = await createNode({ key, listen: ['/ip4/127.0.0.1/tcp/0'], announce: [], bootstrap: [] })
  undo.push(async () => node.stop())
  const network = new Libp2pNetwork({ node, gate: openGate, clock: systemClock, log })
  const home = await mkdtemp(join(tmpdir(), 'cloudskin-tcp-'))
  undo.push(() => rm(home, { recursive: true }))
  const store = new FileBlobStore({ home })
  const blobs = blobService({ network, store, policy: { mayRead: () => true }, log })
  const state = stateService({ network, signer: signerOf(key), clock: systemClock, random: systemRandom, log })
  for (const part of [network, store, blobs, state]) {
    await part.start()
    undo.push(() => part.stop())
  }
  return { node, store, blobs, state }
}

test('over TCP: peers come to know each other, a goodbye is heard, and a large object arrives in many windows', async () => {
  const [a, b] = [await peer(), await peer()]
  const [idA, idB] = [a.node.peerId.toString(), b.node.peerId.toString()]
  await b.node.dial(a.node.getMultiaddrs())
  await eventually(() => a.state.view.get(idB)?.status === 'alive' && b.state.view.get(idA)?.status === 'alive')
  const cid = await b.store.put(systemRandom.bytes(8 * 1024 * 1024))
  expect(await a.blobs.fetch(cid, [idB])).toBe(8 * 1024 * 1024)
  expect(await a.store.readWhole(cid)).toHaveLength(8 * 1024 * 1024)
  await b.state.leave()
  expect(a.state.view.get(idB)?.status).toBe('left')
}, 25_000)

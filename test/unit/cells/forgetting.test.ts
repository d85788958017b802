// What a peer keeps for its cells, and what it gives up once they are over and forgotten.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { sha256Hex, utf8 } from '../../../core/bytes.ts'
import { namedObjects } from '../../../node/cells/named-objects.ts'
import { cidsOf } from '../../../node/cells/submission.ts'
import { MemoryMesh } from '../../../protocols/kit/memory-network.ts'
import { decodeManifest } from '../../../protocols/placement/index.ts'
import { eventually } from '../../support/eventually.ts'
import { manifestBy } from '../placement/manifests.ts'
import { type CellPeer, CellPeers } from './peers.ts'

let peers: CellPeers
let owner: CellPeer
let host: CellPeer

beforeEach(async () => {
  peers = new CellPeers(new MemoryMesh())
  owner = await peers.peer()
  host = await peers.peer()
  peers.hosts = [host.key]
})

afterEach(() => peers.end())

const needs = (peer: CellPeer): ReadonlySet<string> =>
  namedObjects(peer.book.entries(), peer.hosting.all(), peer.authority.awaited())

test('objects of a cell are needed by its host until the result is taken, by its owner until it is forgotten', async () => {
  const { cell } = await owner.run()
  const signed = owner.book.get(cell)?.record.signed
  const cids = cidsOf(decodeManifest(signed?.bytes ?? new Uint8Array()))
  expect(cids.length).toBeGreaterThan(0)
  expect([...needs(host)]).toEqual(expect.arrayContaining(cids))
  await expect(owner.desk.forget(cell)).rejects.toMatchObject({ code: 'CELL_NOT_RUNNING' })
  peers.program(cell).exit()
  await owner.reaches(cell, 'finished')
  await eventually(() => expect(host.hosting.all()).toEqual([]))
  expect(needs(host).size).toBe(0)
  expect([...needs(owner)]).toEqual(expect.arrayContaining(cids))
  expect(await owner.desk.forget(cell)).toMatchObject({ cell, phase: 'finished' })
  expect(needs(owner).size).toBe(0)
  expect(owner.records.cells.kept.size).toBe(0)
  await expect(owner.desk.forget(cell)).rejects.toMatchObject({ code: 'CELL_UNKNOWN' })
})

test('results are needed while they wait to be taken', () => {
  const manifest = manifestBy('owner')
  const result = { path: '/out/a.wav', cid: sha256Hex(utf8('speech')), bytes: 6 }
  const usage = { busyMs: 1, wallMs: 1, fuel: 1, memoryBytes: 1, outputBytes: 0, diskBytes: 6 }
  const event = { kind: 'finished', exitCode: 0, files: [result], usage } as const
  const outbox = { cell: 'c', epoch: 1, life: 1, acked: 0, sent: 0, entries: [{ at: 1, event }] }
  const stdin = manifest.stdin?.cid ?? ''
  expect([...namedObjects([], [{ manifest, reporter: { outbox } }], [])].sort()).toEqual(
    [manifest.module, ...manifest.inputs.map(({ cid }) => cid), stdin, result.cid].sort(),
  )
})

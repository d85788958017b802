// What a host that was killed knows when it is back, and what it answers while it does not know yet.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { utf8 } from '../../../core/bytes.ts'
import { systemClock } from '../../../core/clock.ts'
import { MemoryMesh } from '../../../protocols/kit/memory-network.ts'
import { eventually } from '../../support/eventually.ts'
import { type CellPeer, CellPeers } from './peers.ts'

let peers: CellPeers
let owner: CellPeer
let a: CellPeer

beforeEach(async () => {
  peers = new CellPeers(new MemoryMesh())
  peers.isUp = () => true
  owner = await peers.peer()
  a = await peers.peer()
  peers.hosts = [a.key]
})

afterEach(() => peers.end())

describe('a result that its owner cannot take yet', () => {
  it('outlives two restarts of its host, the second under a clock that was set back', async () => {
    const { cell, program } = await owner.run()
    const { fetch } = owner.blobs
    owner.blobs.fetch = () => Promise.reject(new Error('no room'))
    program.exit([{ path: '/out/a', bytes: utf8('result') }])
    await eventually(() => a.hosting.get(cell)?.record.phase === 'ended')
    await a.kill()
    peers.clock = { ...systemClock, now: () => systemClock.now() + 3_600_000 }
    a = await peers.boot(a.home)
    await eventually(() => (owner.book.get(cell)?.record.inbox?.life ?? 0) > systemClock.now())
    await a.kill()
    peers.clock = systemClock
    a = await peers.boot(a.home)
    owner.blobs.fetch = fetch.bind(owner.blobs)
    expect(await owner.reaches(cell, 'finished')).toMatchObject({ files: [{ path: '/out/a' }] })
  })
})

describe.each(['hosted', 'moves'] as const)('a host that has not read its records of kind %s yet', (kind) => {
  it('says that it is starting, and takes cells once it has', async () => {
    const { cell: old } = await owner.run()
    await a.kill()
    const gate = Promise.withResolvers<void>()
    const reading = Promise.withResolvers<void>()
    const booted = peers.boot(a.home, ({ records }) => {
      const list = records[kind].list.bind(records[kind])
      records[kind].list = async () => {
        reading.resolve()
        await gate.promise
        return list()
      }
    })
    await reading.promise
    const status = { cell: old, epoch: 1, command: { kind: 'status' } } as const
    await expect(owner.placement.sendCommand(a.key, status, {})).rejects.toMatchObject({
      facts: { remoteCode: 'STARTING' },
    })
    const { cell } = await owner.submit()
    await eventually(() =>
      owner.book.get(cell)?.record.timeline.at(-1)?.detail.includes('cannot say which cells it has'),
    )
    gate.resolve()
    await booted
    expect(await owner.reaches(old, 'lost')).toMatchObject({ error: { code: 'CELL_HOST_DIED' } })
    await owner.reaches(cell, 'running')
  })
})

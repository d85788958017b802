// What hosts and authorities do with each other's reports and starts when answers are lost, clocks jump and links are slow.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sha256Hex, utf8 } from '../../../core/bytes.ts'
import { systemClock } from '../../../core/clock.ts'
import { HostingPort } from '../../../node/cells/host-port.ts'
import { MemoryMesh } from '../../../protocols/kit/memory-network.ts'
import { appendEvent, emptyOutbox, expectFrom, openManifest } from '../../../protocols/placement/index.ts'
import { eventually } from '../../support/eventually.ts'
import { type CellPeer, CellPeers } from './peers.ts'

let peers: CellPeers
let owner: CellPeer
let a: CellPeer
let b: CellPeer

beforeEach(async () => {
  peers = new CellPeers(new MemoryMesh())
  owner = await peers.peer()
  a = await peers.peer()
  b = await peers.peer()
  peers.hosts = [a.key]
})

afterEach(() => peers.end())

/** What the owner does after a start of which it never heard an answer. */
async function startAgain(cell: string): Promise<void> {
  const record = owner.book.get(cell)?.record
  if (record === undefined) throw new Error('no such cell')
  const { signed } = record
  await owner.book.update(cell, (entry) => ({
    ...entry,
    record: { ...entry.record, inbox: expectFrom(a.key, 2, entry.record.inbox) },
  }))
  const { manifest } = await openManifest(signed)
  const order = { cell, epoch: 2, manifest, signed, holders: [owner.key], from: owner.key }
  await new HostingPort(a.hosting).start(order)
}

describe('a host that is told to start a cell again', () => {
  it('ends what it had started before', async () => {
    const { cell, program } = await owner.run()
    await startAgain(cell)
    await eventually(() => a.engine.programs.length === 2 && peers.running(cell).length === 1)
    expect(program.hasEnded).toBe(true)
    peers.program(cell).print('once')
    peers.program(cell).exit()
    await owner.reaches(cell, 'finished')
    expect(await owner.stdout(cell)).toBe('once')
  })

  it('also when that is still about to start', async () => {
    const launch = a.engine.launch.bind(a.engine)
    const gate = Promise.withResolvers<void>()
    const launching = Promise.withResolvers<void>()
    a.engine.launch = async (...args) => {
      launching.resolve()
      await gate.promise
      return launch(...args)
    }
    const run = owner.run()
    const cell = await eventually(() => a.hosting.all()[0]?.record.cell)
    await launching.promise
    await startAgain(cell)
    gate.resolve()
    await run
    await eventually(() => a.engine.programs.length === 2 && peers.running(cell).length === 1)
    await eventually(() => a.hosting.get(cell)?.record.phase === 'running')
    peers.program(cell).exit()
    await owner.reaches(cell, 'finished')
    await eventually(() => a.home.kept.hosted.size === 0)
  })
})

describe('a host whose clock was set back while it was down', () => {
  const setBack = { ...systemClock, now: () => systemClock.now() - 3_600_000 }

  it('still tells that it lost a cell', async () => {
    peers.isUp = () => true
    const { cell } = await owner.run()
    await a.kill()
    peers.clock = setBack
    await peers.boot(a.home)
    expect(await owner.reaches(cell, 'lost')).toMatchObject({ error: { code: 'CELL_HOST_DIED' } })
  })

  it('goes on with a cell that has come to it', async () => {
    peers.isUp = () => true
    const { cell } = await owner.run()
    // It runs there, but that it does could not be written: the next start takes it up from its image.
    b.records.moves.onPut = (record) => {
      if (Buffer.from(record).includes('owned')) b.records.moves.full = true
    }
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: 'moved' })
    await b.kill()
    peers.clock = setBack
    b = await peers.boot(b.home)
    await eventually(() => peers.running(cell).length === 1)
    peers.program(cell).print('on')
    peers.program(cell).exit()
    await owner.reaches(cell, 'finished')
    expect(await owner.stdout(cell)).toBe('on')
  })
})

describe('a result', () => {
  it('arrives over a link that takes longer than a report waits', async () => {
    // Reports wait for a moment only.
    peers.clock = { ...systemClock, after: (ms, fn) => systemClock.after(ms === 15_000 ? 20 : ms, fn) }
    await owner.stop()
    owner = await peers.boot(owner.home)
    const { cell, program } = await owner.run()
    const fetch = owner.blobs.fetch.bind(owner.blobs)
    const gate = Promise.withResolvers<void>()
    let fetches = 0
    owner.blobs.fetch = async (cid, holders, init) => {
      if (++fetches > 1) throw new Error('the link is busy')
      await Promise.race([
        gate.promise,
        new Promise((_, reject) => init?.signal?.addEventListener('abort', () => reject(init.signal?.reason))),
      ])
      return fetch(cid, holders, init)
    }
    let reports = 0
    const report = owner.authority.report.bind(owner.authority)
    owner.authority.report = async (from, batch) => {
      const ack = await report(from, batch)
      if (batch.entries.some(({ event }) => event.kind === 'finished')) reports++
      return ack
    }
    program.exit([{ path: '/out/a', bytes: utf8('result') }])
    await eventually(() => reports >= 2)
    expect(owner.authority.awaited()).toEqual([sha256Hex(utf8('result'))])
    gate.resolve()
    expect(await owner.reaches(cell, 'finished')).toMatchObject({ files: [{ path: '/out/a', bytes: 6 }] })
    expect(fetches).toBe(1)
  })

  it('that is reported before its owner has begun is taken once it has', async () => {
    const { cell, program } = await owner.run()
    await owner.authority.stop()
    const report = owner.authority.report.bind(owner.authority)
    let reports = 0
    owner.authority.report = (from, batch) => {
      reports++
      return report(from, batch)
    }
    program.exit([{ path: '/out/a', bytes: utf8('result') }])
    await eventually(() => expect(reports).toBeGreaterThan(1))
    await owner.authority.start()
    expect((await owner.reaches(cell, 'finished')).files).toMatchObject([{ path: '/out/a' }])
  })

  it('is not fetched from a peer that does not run the cell', async () => {
    const { cell } = await owner.run()
    let fetches = 0
    owner.blobs.fetch = async () => ++fetches
    const files = [{ path: '/out/a', cid: 'a'.repeat(64), bytes: 6 }]
    const usage = { busyMs: 1, wallMs: 1, fuel: 1, memoryBytes: 1, outputBytes: 1, diskBytes: 1 }
    const outbox = appendEvent(emptyOutbox(cell, 1, 1), { kind: 'finished', exitCode: 0, files, usage }, 1)
    const reports = new Promise<void>((resolve) => {
      const report = owner.authority.report.bind(owner.authority)
      owner.authority.report = (from, batch) => report(from, batch).finally(resolve)
    })
    b.placement.reporter({ cell, authority: owner.key, outbox })
    await reports
    expect(fetches).toBe(0)
    expect(owner.desk.get(cell).phase).toBe('running')
  })
})

describe('a cell that all candidates refuse for good', () => {
  it('waits as long as there are peers that were not among them', async () => {
    peers.unconsidered = 1
    b.labels.wood = 'hard'
    const run = owner.run({ constraints: { labels: { wood: 'hard' } } })
    await eventually(() => owner.book.entries().some(({ decisions }) => decisions.length > 0))
    peers.hosts = [b.key]
    const { cell } = await run
    expect(owner.desk.get(cell)).toMatchObject({ host: b.key })
  })
})

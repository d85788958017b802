import { describe, expect, test } from 'vitest'
import { utf8 } from '../../../core/bytes.ts'
import { CodedError } from '../../../core/errors.ts'
import { toCbor } from '../../../core/shape.ts'
import { MemoryMesh } from '../../../protocols/kit/memory-network.ts'
import { request } from '../../../protocols/kit/request.ts'
import { emptyOutbox } from '../../../protocols/placement/index.ts'
import { startReplyShape } from '../../../protocols/placement/messages.ts'
import { COMMAND, OFFER, RESERVATION_TTL_MS, START } from '../../../protocols/placement/protocol.ts'
import { eventually } from '../../support/eventually.ts'
import { submission, testMesh } from './peers.ts'

async function meshOf(count: number) {
  const mesh = testMesh(new MemoryMesh())
  const authority = await mesh.peer()
  const hosts = []
  for (let i = 0; i < count; i++) hosts.push((await mesh.peer()).peer)
  return { ...mesh, owner: authority.peer, signer: authority.signer, hosts }
}

const full = new CodedError('NO_SLOT', 'every slot is taken')

describe('placing a cell', () => {
  test('the cheapest bid gets it, the others get their room back', async () => {
    const { owner, signer, hosts } = await meshOf(3)
    const [a, b, c] = hosts
    if (a === undefined || b === undefined || c === undefined) throw new Error('three hosts')
    a.terms = { backlogMs: 500, hasModule: true }
    c.terms = { backlogMs: 0, hasModule: false }
    const { plan, cell, attempts } = await submission(owner, signer, hosts)
    const outcome = await owner.placement.place(plan, {})
    expect(outcome).toMatchObject({ kind: 'placed', host: b.key, epoch: 1, costMs: 101 })
    expect(attempts).toEqual([`${b.key}/1`])
    expect(b.held.get(cell)).toMatchObject({ epoch: 1, from: owner.key, holders: [owner.key] })
    await eventually(() => hosts.every((host) => host.placement.reserved().slots === 0))
  })

  test('a refusal with its reason, a dead peer, then the second round', async () => {
    const { owner, signer, hosts, mesh } = await meshOf(4)
    const [a, b, c, d] = hosts
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error('four hosts')
    a.refusal = full
    mesh.kill(b.key)
    c.slots = 0
    const { plan } = await submission(owner, signer, hosts)
    const outcome = await owner.placement.place(plan, {})
    expect(outcome).toMatchObject({
      kind: 'placed',
      host: d.key,
      candidates: [
        { peer: a.key, outcome: 'refused', code: 'NO_SLOT', reason: full.message },
        { peer: b.key, outcome: 'unreachable' },
        { peer: c.key, outcome: 'refused', code: 'NO_SLOT' },
        { peer: d.key, outcome: 'chosen' },
      ],
    })
  })

  test('the peer itself is a candidate like any other', async () => {
    const { owner, signer } = await meshOf(0)
    const { plan, cell } = await submission(owner, signer, [owner])
    expect(await owner.placement.place(plan, {})).toMatchObject({ kind: 'placed', host: owner.key })
    expect(owner.held.has(cell)).toBe(true)
  })

  test('a host that fails in an uncoded way is passed over', async () => {
    const { owner, signer, hosts } = await meshOf(2)
    const [a, b] = hosts
    if (a === undefined || b === undefined) throw new Error('two hosts')
    a.consider = () => {
      throw new TypeError('a bug')
    }
    const { plan } = await submission(owner, signer, hosts)
    expect(await owner.placement.place(plan, {})).toMatchObject({
      host: b.key,
      candidates: [{ outcome: 'refused', code: 'REMOTE_FAILED' }, { outcome: 'chosen' }],
    })
  })

  test('a start that is not answered goes elsewhere under a higher epoch, and the late host is undone', async () => {
    const { owner, signer, hosts, clock } = await meshOf(2)
    const [a, b] = hosts
    if (a === undefined || b === undefined) throw new Error('two hosts')
    const gate = Promise.withResolvers<void>()
    a.startGate = gate.promise
    const { plan, cell, attempts } = await submission(owner, signer, hosts)
    const placing = owner.placement.place(plan, {})
    await eventually(() => attempts.length === 1)
    await eventually(async () => {
      await clock.advance(1_000)
      return attempts.length === 2
    })
    const outcome = await placing
    expect(outcome).toMatchObject({ kind: 'placed', host: b.key, epoch: 2 })
    gate.resolve()
    await eventually(() => a.held.has(cell))
    // it believes that it runs the cell: its first report tells it otherwise
    const closed = Promise.withResolvers<string | undefined>()
    const reporter = a.placement.reporter({
      cell,
      authority: owner.key,
      outbox: emptyOutbox(cell, 1, 1),
      onProgress: (outbox) => closed.resolve(outbox.closed),
    })
    reporter.append({ kind: 'running' })
    expect(await closed.promise).toBe('superseded')
    expect(owner.told).toEqual([])
  })

  test('ends with every reason when nobody takes it, and when there is nobody', async () => {
    const { owner, signer, hosts } = await meshOf(2)
    for (const host of hosts) host.refusal = full
    const { plan } = await submission(owner, signer, hosts)
    expect(await owner.placement.place(plan, {})).toMatchObject({
      kind: 'failed',
      epoch: 0,
      candidates: [{ code: 'NO_SLOT' }, { code: 'NO_SLOT' }],
    })
    expect(await owner.placement.place({ ...plan, candidates: [] }, {})).toMatchObject({
      kind: 'failed',
      candidates: [],
    })
  })

  test('an attempt that cannot be recorded ends it, and nothing was started', async () => {
    const { owner, signer, hosts } = await meshOf(2)
    const { plan, cell } = await submission(owner, signer, hosts)
    const placing = owner.placement.place({ ...plan, onAttempt: () => Promise.reject(new Error('disk full')) }, {})
    await expect(placing).rejects.toThrow('disk full')
    await eventually(() => hosts.every((host) => host.placement.reserved().slots === 0 && !host.held.has(cell)))
  })

  test('aborted, it rejects with the reason and gives everything back', async () => {
    const { owner, signer, hosts } = await meshOf(2)
    const gate = Promise.withResolvers<void>()
    for (const host of hosts) host.startGate = gate.promise
    const { plan, cell, attempts } = await submission(owner, signer, hosts)
    const stop = new AbortController()
    const placing = owner.placement.place(plan, { signal: stop.signal })
    await eventually(() => attempts.length === 1)
    stop.abort(new Error('the owner changed his mind'))
    await expect(placing).rejects.toThrow('changed his mind')
    gate.resolve()
    await eventually(() => hosts.every((host) => host.placement.reserved().slots === 0))
    expect(owner.inboxes.get(cell)?.epoch).toBe(1)
  })

  test('of a burst, no host promises more than it has', async () => {
    const { owner, signer, hosts } = await meshOf(2)
    const submissions = await Promise.all(Array.from({ length: 6 }, () => submission(owner, signer, hosts)))
    const outcomes = await Promise.all(submissions.map(({ plan }) => owner.placement.place(plan, {})))
    const placed = outcomes.filter(({ kind }) => kind === 'placed').length
    expect(placed).toBeGreaterThan(0)
    expect(hosts.reduce((sum, host) => sum + host.held.size, 0)).toBe(placed)
    // those that lost against reservations which were then given back find room when they try again, and no more than there is
    await eventually(() => hosts.every((host) => host.placement.reserved().slots === 0))
    for (const [i, { plan }] of submissions.entries())
      if (outcomes[i]?.kind === 'failed') await owner.placement.place(plan, {})
    expect(hosts.map((host) => host.held.size)).toEqual([2, 2])
  })

  test('reserved room is kept for a move, expires, and can be claimed once', async () => {
    const { owner, signer, hosts, clock } = await meshOf(1)
    const [a] = hosts
    if (a === undefined) throw new Error('one host')
    const { plan, cell } = await submission(owner, signer, hosts)
    const outcome = await owner.placement.reserve(plan, {})
    if (outcome.kind !== 'placed') throw new Error('a reservation')
    expect(a.placement.reserved().slots).toBe(1)
    const claim = a.placement.claim(cell, { slots: 1, memoryBytes: 1, diskBytes: 1 }, outcome.reservation)
    await clock.advance(RESERVATION_TTL_MS)
    expect(a.placement.reserved().slots).toBe(1)
    claim.settle()
    expect(a.placement.reserved().slots).toBe(0)
    const again = (): unknown =>
      a.placement.claim(cell, { slots: 1, memoryBytes: 1, diskBytes: 1 }, outcome.reservation)
    expect(again).toThrow(expect.objectContaining({ code: 'RESERVATION_GONE' }))
    expect(() => a.placement.claim(cell, { slots: 3, memoryBytes: 1, diskBytes: 1 })).toThrow(
      expect.objectContaining({ code: 'NO_SLOT' }),
    )
  })
})

describe('what a host refuses', () => {
  const start = { reservation: 'a'.repeat(32), epoch: 1, holders: [] }

  test('a start by another than the owner, a forged one, one without a reservation, one of an older epoch', async () => {
    const { owner, signer, hosts, peer } = await meshOf(1)
    const [a] = hosts
    const other = (await peer()).peer
    if (a === undefined) throw new Error('one host')
    const { signed, plan, cell } = await submission(owner, signer, hosts)
    const ask = (from: typeof owner, body: object) => request(from.network, a.key, START, body, startReplyShape)
    expect(await ask(other, { ...start, manifest: signed })).toMatchObject({ kind: 'refused', code: 'NOT_OWNER' })
    const forged = { ...signed, signature: new Uint8Array(64) }
    expect(await ask(owner, { ...start, manifest: forged })).toMatchObject({ kind: 'refused', code: 'MANIFEST_FORGED' })
    expect(await ask(owner, { ...start, manifest: signed })).toMatchObject({ code: 'RESERVATION_GONE' })
    await owner.placement.place({ ...plan, epoch: 4 }, {})
    expect(a.held.get(cell)?.epoch).toBe(5)
    expect(await ask(owner, { ...start, epoch: 4, manifest: signed })).toMatchObject({ code: 'STALE_EPOCH' })
    // the same start again is accepted without a reservation: its answer may have been lost
    expect(await ask(owner, { ...start, epoch: 5, manifest: signed })).toEqual({ kind: 'accepted' })
  })

  test('commands from anyone but the owner, for an unknown cell, or for another epoch', async () => {
    const { owner, signer, hosts, peer } = await meshOf(1)
    const [a] = hosts
    const other = (await peer()).peer
    if (a === undefined) throw new Error('one host')
    const { plan, cell } = await submission(owner, signer, hosts)
    const order = { cell, epoch: 1, command: { kind: 'stop' } as const }
    const refused = (remoteCode: string) =>
      expect.objectContaining({ code: 'REMOTE_REFUSED', facts: expect.objectContaining({ remoteCode }) })
    await expect(owner.placement.sendCommand(a.key, order, {})).rejects.toThrow(refused('CELL_UNKNOWN'))
    await owner.placement.place(plan, {})
    await expect(other.placement.sendCommand(a.key, order, {})).rejects.toThrow(refused('NOT_OWNER'))
    await expect(owner.placement.sendCommand(a.key, { ...order, epoch: 2 }, {})).rejects.toThrow(refused('STALE_EPOCH'))
    expect(a.commands).toEqual([])
    expect(await owner.placement.sendCommand(a.key, order, {})).toEqual({ kind: 'done' })
    expect(a.held.size).toBe(0)
  })

  test.each([
    ['an offer', OFFER, utf8('not cbor')],
    ['an offer', OFFER, toCbor({ cell: 'x' })],
    ['a start', START, toCbor({ ...start, manifest: { bytes: new Uint8Array(0), signature: new Uint8Array(64) } })],
    ['a command', COMMAND, toCbor({ cell: 'a'.repeat(64), epoch: 1, command: { kind: 'format-disk' } })],
    ['a path', COMMAND, toCbor({ cell: 'a'.repeat(64), epoch: 1, command: { kind: 'read-file', path: '/a/../b' } })],
  ])('%s that is malformed, and goes on serving', async (_, spec, bytes) => {
    const { owner, signer, hosts } = await meshOf(1)
    const [a] = hosts
    if (a === undefined) throw new Error('one host')
    const stream = await owner.network.open(a.key, spec)
    await stream.send(bytes)
    const reply = await stream.receive()
    expect(Buffer.from(reply ?? []).toString('latin1')).toContain('MESSAGE_MALFORMED')
    const { plan } = await submission(owner, signer, hosts)
    expect(await owner.placement.place(plan, {})).toMatchObject({ kind: 'placed' })
  })
})

test('stops in the middle of anything, starts again, and serves again', async () => {
  const { owner, signer, hosts } = await meshOf(1)
  const [a] = hosts
  if (a === undefined) throw new Error('one host')
  const gate = Promise.withResolvers<void>()
  a.startGate = gate.promise
  const { plan, attempts } = await submission(owner, signer, hosts)
  const placing = owner.placement.place(plan, {})
  await eventually(() => attempts.length === 1)
  const stopped = expect(placing).rejects.toThrow(expect.objectContaining({ code: 'STOPPED' }))
  await owner.placement.stop()
  await owner.placement.stop()
  await stopped
  await expect(owner.placement.place(plan, {})).rejects.toThrow(expect.objectContaining({ code: 'STOPPED' }))
  gate.resolve()
  await owner.placement.start()
  const second = await submission(owner, signer, hosts)
  expect(await owner.placement.place(second.plan, {})).toMatchObject({ kind: 'placed' })
})

import { describe, expect, test } from 'vitest'
import { utf8 } from '../../../core/bytes.ts'
import { MemoryMesh } from '../../../protocols/kit/memory-network.ts'
import {
  type CellEvent,
  emptyOutbox,
  expectFrom,
  type ReporterInit,
  succeed,
} from '../../../protocols/placement/index.ts'
import { REPORT, REPORT_IDLE_MS, REPORT_RETRY_MAX_MS } from '../../../protocols/placement/protocol.ts'
import { eventually } from '../../support/eventually.ts'
import { testMesh } from './peers.ts'

const CELL = 'd'.repeat(64)
const usage = { busyMs: 1, wallMs: 2, fuel: 3, memoryBytes: 4, outputBytes: 5, diskBytes: 6 }
const finished: CellEvent = { kind: 'finished', exitCode: 3, files: [], usage }
const out = (offset: number, text: string): CellEvent => ({
  kind: 'output',
  stream: 'stdout',
  offset,
  bytes: utf8(text),
})

async function pair() {
  const mesh = testMesh(new MemoryMesh())
  const { peer: authority } = await mesh.peer()
  const { peer: host } = await mesh.peer()
  authority.inboxes.set(CELL, expectFrom(host.key, 1))
  const report = (init: Partial<ReporterInit> = {}) =>
    host.placement.reporter({ cell: CELL, authority: authority.key, outbox: emptyOutbox(CELL, 1, 1), ...init })
  /** Lets time pass until `probe` holds. */
  const until = (probe: () => boolean) =>
    eventually(async () => {
      if (!probe()) await mesh.clock.advance(100)
      return probe()
    })
  return { ...mesh, authority, host, report, until }
}

const textOf = (told: readonly { readonly event: CellEvent }[]): string =>
  told.map(({ event }) => (event.kind === 'output' ? Buffer.from(event.bytes).toString() : `<${event.kind}>`)).join('')

describe('reports', () => {
  test('arrive in order and once, and drain', async () => {
    const { authority, report, until } = await pair()
    const reporter = report()
    reporter.append({ kind: 'running' })
    await until(() => authority.told.length === 1)
    for (let i = 0; i < 50; i++) reporter.append(out(i, `${i % 10}`))
    reporter.append(finished)
    let drained = false
    const draining = reporter.drained({ signal: AbortSignal.timeout(10_000) }).then(() => (drained = true))
    await until(() => drained)
    await draining
    expect(textOf(authority.told)).toBe(`<running>${'0123456789'.repeat(5)}<finished>`)
    expect(reporter.outbox).toMatchObject({ closed: 'over', entries: [] })
    // what was printed within one interval travelled together
    expect(authority.told.length).toBeLessThan(10)
  })

  test('wait while the authority is away and arrive soon after it is back', async () => {
    const { authority, host, report, until, mesh, clock } = await pair()
    mesh.link(authority.key, host.key, false)
    const reporter = report()
    reporter.append(out(0, 'hello'))
    await clock.advance(REPORT_RETRY_MAX_MS * 4)
    expect(authority.told).toEqual([])
    mesh.link(authority.key, host.key, true)
    await eventually(() => authority.told.length === 1)
    reporter.append(out(5, ' again'))
    mesh.link(authority.key, host.key, false)
    mesh.link(authority.key, host.key, true)
    await until(() => textOf(authority.told) === 'hello again')
    await until(() => reporter.outbox.entries.length === 0)
  })

  test('a stream that is not needed is closed, and opened again', async () => {
    const { authority, report, until, clock } = await pair()
    const reporter = report()
    reporter.append(out(0, 'a'))
    await until(() => reporter.outbox.acked === 1)
    await clock.advance(REPORT_IDLE_MS * 2)
    reporter.append(out(1, 'b'))
    await until(() => textOf(authority.told) === 'ab')
  })

  test('of a moved cell go on at its new host, before or after the old one has said so', async () => {
    const { authority, report, until, peer } = await pair()
    const { peer: next } = await peer()
    const reporter = report()
    reporter.append({ kind: 'moving', to: next.key })
    await until(() => authority.told.length === 1)
    await reporter.stop()
    reporter.append(out(0, 'left '))
    const box = succeed(reporter.outbox, 2, 2)
    const onward = next.placement.reporter({ cell: CELL, authority: authority.key, outbox: box })
    onward.append(out(5, 'behind'))
    onward.append(finished)
    await until(() => onward.outbox.closed === 'over')
    expect(textOf(authority.told)).toBe('<moving>left behind<finished>')
    expect(authority.told.at(-1)?.from).toBe(next.key)
    const told = authority.told.length
    const late = report({ outbox: reporter.outbox })
    late.append({ kind: 'moved', to: next.key, epoch: 2 })
    await until(() => late.outbox.closed !== undefined)
    expect(authority.told).toHaveLength(told)
  })

  test('that were queued before the service started go out when it has', async () => {
    const { authority, host, report, until } = await pair()
    await host.placement.stop()
    const reporter = report()
    reporter.append(out(0, 'early'))
    const dropped = report()
    dropped.append(out(0, 'never'))
    await dropped.stop()
    await host.placement.start()
    await until(() => reporter.outbox.entries.length === 0)
    expect(textOf(authority.told)).toBe('early')
    // a stopped service ends its reporters, and what was not taken stays
    authority.inboxes.clear()
    reporter.append(out(5, ' late'))
    await host.placement.stop()
    expect(reporter.outbox.entries).toHaveLength(1)
  })

  test('an authority that knows no such cell is left alone', async () => {
    const { authority, report, until } = await pair()
    authority.inboxes.clear()
    const refused: string[] = []
    const reporter = report({ onRefused: (code) => refused.push(code) })
    reporter.append({ kind: 'running' })
    await until(() => refused.length === 1)
    expect(refused).toEqual(['CELL_UNKNOWN'])
  })

  test('bytes that are no report are refused, and the stream ends', async () => {
    const { authority, host } = await pair()
    const stream = await host.network.open(authority.key, REPORT)
    await stream.send(utf8('nonsense'))
    expect(Buffer.from((await stream.receive()) ?? []).toString('latin1')).toContain('MESSAGE_MALFORMED')
    expect(await stream.receive()).toBeUndefined()
    expect(authority.told).toEqual([])
  })
})

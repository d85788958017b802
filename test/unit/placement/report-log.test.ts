import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, utf8 } from '../../../core/bytes.ts'
import { fromCbor, toCbor } from '../../../core/shape.ts'
import { batchShape, type CellEvent, type ReportAck, type ReportBatch } from '../../../protocols/placement/events.ts'
import { adopt, close, expectFrom, type Inbox, take } from '../../../protocols/placement/inbox.ts'
import {
  acknowledge,
  append,
  emptyOutbox,
  encodeOutbox,
  nextBatch,
  type Outbox,
  restoreOutbox,
  succeed,
} from '../../../protocols/placement/outbox.ts'

const CELL = 'c'.repeat(64)
const usage = { busyMs: 1, wallMs: 2, fuel: 3, memoryBytes: 4, outputBytes: 5, diskBytes: 6 }
const out = (offset: number, text: string): CellEvent => ({
  kind: 'output',
  stream: 'stdout',
  offset,
  bytes: utf8(text),
})
const batchOf = (epoch: number, first: number, ...events: CellEvent[]): ReportBatch => ({
  cell: CELL,
  epoch,
  life: 1,
  first,
  entries: events.map((event) => ({ at: 0, event })),
})
const send = (outbox: Outbox): { batch: ReportBatch; outbox: Outbox } => {
  const next = nextBatch(outbox)
  if (next === undefined) throw new Error('nothing to send')
  return next
}

describe('the outbox', () => {
  test('joins output that has not left, and never touches what has', () => {
    let box = append(append(emptyOutbox(CELL, 1, 1), out(0, 'ab'), 0), out(2, 'cd'), 0)
    expect(box.entries).toHaveLength(1)
    box = append(send(box).outbox, out(4, 'ef'), 0)
    expect(box.entries.map(({ event }) => event)).toEqual([out(0, 'abcd'), out(4, 'ef')])
  })

  test('holds what is written to both streams in turn in few events, each stream in its order', () => {
    let box = emptyOutbox(CELL, 1, 1)
    const streams = ['stdout', 'stderr'] as const
    const letters = 'abcdefghijklm'
    const count = 20_000
    for (let offset = 0; offset < count; offset++)
      for (const stream of streams) {
        const event = { ...out(offset, letters.charAt(offset % letters.length)), stream }
        box = append(offset === 300 ? send(box).outbox : box, event, 0)
      }
    expect(box.entries.length).toBeLessThan(1100)
    for (const stream of streams) {
      const said = box.entries.flatMap(({ event }) =>
        event.kind === 'output' && event.stream === stream ? [event] : [],
      )
      expect(Buffer.concat(said.map(({ bytes }) => bytes)).toString()).toBe(letters.repeat(count).slice(0, count))
      let next = 0
      for (const { offset, bytes } of said) {
        expect(offset).toBe(next)
        next += bytes.length
      }
    }
    expect(restoreOutbox(encodeOutbox(box), 2).entries).toEqual(box.entries)
  })

  test('cuts output into events of 64 KiB and batches of 256 KiB, all of which fit the wire', () => {
    const bytes = new Uint8Array(600_000).fill(65)
    let box = append(emptyOutbox(CELL, 1, 1), { kind: 'output', stream: 'stderr', offset: 5, bytes }, 0)
    let inbox: Inbox = { ...expectFrom('H', 1), next: { stdout: 0, stderr: 5 } }
    let batches = 0
    while (box.entries.length > 0) {
      const { batch, outbox } = send(box)
      const taken = take(inbox, 'H', fromCbor(toCbor(batch), batchShape, 'X'))
      inbox = taken.inbox
      box = acknowledge(outbox, taken.ack)
      batches++
    }
    expect(inbox.next.stderr).toBe(600_005)
    expect(batches).toBe(3)
  })

  test('repeats until acknowledged, and ignores answers that cannot be one', () => {
    const { outbox } = send(append(append(emptyOutbox(CELL, 2, 5), { kind: 'fetching' }, 0), { kind: 'running' }, 0))
    expect(send(outbox).batch.first).toBe(1)
    const part = acknowledge(outbox, { epoch: 2, life: 5, seq: 1 })
    expect(send(part).batch).toMatchObject({ first: 2, entries: [{ event: { kind: 'running' } }] })
    for (const ack of [
      { epoch: 2, life: 5, seq: 3 },
      { epoch: 1, life: 5, seq: 2 },
      { epoch: 2, life: 4, seq: 2 },
      { epoch: 2, life: 5, seq: 0 },
    ])
      expect(acknowledge(part, ack)).toBe(part)
    expect(acknowledge(part, { epoch: 3, life: 1, seq: 0 })).toMatchObject({ closed: 'superseded', entries: [] })
    expect(acknowledge(part, { epoch: 2, life: 5, seq: 1, over: true })).toMatchObject({ closed: 'over' })
  })

  test('a restored one begins a new life, so that what the old one sent cannot hide what it says', () => {
    const old = append(emptyOutbox(CELL, 1, 1000), { kind: 'running' }, 0)
    const saved = encodeOutbox(old)
    const died: CellEvent = { kind: 'failed', code: 'CELL_HOST_DIED', message: 'gone' }
    // after saving, the old life sent two more events, and then the host was killed
    let inbox = take(expectFrom('H', 1), 'H', {
      ...batchOf(1, 1, { kind: 'running' }, out(0, 'x'), out(1, 'y')),
      life: 1000,
    }).inbox
    const { batch } = send(append(restoreOutbox(saved, 900), died, 0))
    const taken = take(inbox, 'H', batch)
    expect(taken.events.map(({ event }) => event)).toEqual([{ kind: 'running' }, died])
    inbox = taken.inbox
    expect(inbox.ended).toBe(true)
    expect(() => restoreOutbox(saved.subarray(1), 0)).toThrow(expect.objectContaining({ code: 'OUTBOX_MALFORMED' }))
  })

  test('cuts texts that would not fit', () => {
    const box = append(emptyOutbox(CELL, 1, 1), { kind: 'failed', code: 'X', message: 'm'.repeat(5000) }, 0)
    expect(() => fromCbor(toCbor(send(box).batch), batchShape, 'X')).not.toThrow()
  })
})

describe('the inbox', () => {
  const inbox = expectFrom('H', 1)

  test('hears nobody but the host of the epoch', () => {
    expect(take(inbox, 'X', batchOf(1, 1, { kind: 'running' }))).toMatchObject({ verdict: 'stale', events: [], inbox })
    expect(take(inbox, 'X', batchOf(2, 1, { kind: 'running' }))).toMatchObject({ verdict: 'unannounced', inbox })
    expect(take(inbox, 'H', batchOf(0, 1, { kind: 'running' }))).toMatchObject({ verdict: 'stale', inbox })
  })

  test('hears an heir before its predecessor has said that it moved', () => {
    const named = take(inbox, 'H', batchOf(1, 1, { kind: 'moving', to: 'D' })).inbox
    const moved = take(named, 'D', batchOf(2, 1, { kind: 'running' }))
    expect(moved).toMatchObject({ verdict: 'taken', inbox: { epoch: 2, host: 'D', seq: 1 } })
    const late = take(moved.inbox, 'H', batchOf(1, 2, { kind: 'moved', to: 'D', epoch: 2 }))
    expect(late).toMatchObject({ verdict: 'stale', ack: { epoch: 2 } })
    // it went on at the source instead: the heir is none any more
    const back = take(named, 'H', batchOf(1, 2, { kind: 'running' })).inbox
    expect(take(back, 'D', batchOf(2, 1, { kind: 'running' })).verdict).toBe('unannounced')
    expect(take(adopt(back, 'D', 2), 'D', batchOf(2, 1, { kind: 'running' })).verdict).toBe('taken')
  })

  test('takes nothing over a gap, in numbers or in output', () => {
    expect(take(inbox, 'H', batchOf(1, 2, { kind: 'running' }))).toMatchObject({ verdict: 'missing', ack: { seq: 0 } })
    const gap = take(inbox, 'H', batchOf(1, 1, out(0, 'ab'), out(3, 'd')))
    expect(gap).toMatchObject({ verdict: 'missing', ack: { seq: 1 }, inbox: { next: { stdout: 2 } } })
  })

  test('takes each number once, and none of an earlier life', () => {
    const once = take(inbox, 'H', batchOf(1, 1, { kind: 'fetching' }, { kind: 'running' }))
    const twice = take(once.inbox, 'H', batchOf(1, 1, { kind: 'fetching' }, { kind: 'running' }))
    expect(twice).toMatchObject({ verdict: 'taken', events: [], inbox: once.inbox, ack: { seq: 2 } })
    const reborn = take(once.inbox, 'H', { ...batchOf(1, 1, { kind: 'fetching' }), life: 2 })
    expect(reborn).toMatchObject({ events: [{ event: { kind: 'fetching' } }], ack: { life: 2, seq: 1 } })
    const old = take(reborn.inbox, 'H', batchOf(1, 2, { kind: 'running' }))
    expect(old).toMatchObject({ verdict: 'stale', events: [], inbox: reborn.inbox, ack: { life: 2 } })
  })

  test('takes only what is new of output, and ends once', () => {
    const first = take(inbox, 'H', batchOf(1, 1, out(0, 'abc'))).inbox
    const moved = take(first, 'H', batchOf(1, 2, { kind: 'moved', to: 'D', epoch: 2 })).inbox
    const again = take(moved, 'D', batchOf(2, 1, out(0, 'ab'), out(2, 'cd')))
    expect(again.events.map(({ event }) => event)).toEqual([out(3, 'd')])
    const over = take(again.inbox, 'D', batchOf(2, 3, { kind: 'finished', exitCode: 0, files: [], usage }))
    expect(over).toMatchObject({ inbox: { ended: true }, ack: { epoch: 2, seq: 3, over: true } })
    expect(take(over.inbox, 'D', batchOf(2, 4, { kind: 'killed' }))).toMatchObject({ verdict: 'over', events: [] })
    expect(take(close(inbox), 'H', batchOf(1, 1, { kind: 'running' })).ack.over).toBe(true)
  })

  test('a move into the past moves nothing', () => {
    const taken = take(expectFrom('H', 5), 'H', batchOf(5, 1, { kind: 'moved', to: 'D', epoch: 4 }))
    expect(taken.inbox).toMatchObject({ epoch: 5, host: 'H', seq: 1 })
  })
})

/** One thing that happens: the cell writes, moves, its host is restarted, a message is sent, arrives, is doubled or lost. */
const happening = fc.record({
  kind: fc.constantFrom(
    'mark',
    'write',
    'write',
    'write',
    'send',
    'send',
    'deliver',
    'deliver',
    'answer',
    'double',
    'lose',
    'move',
    'restart',
  ),
  size: fc.integer({ min: 1, max: 40 }),
  pick: fc.nat(50),
  stream: fc.constantFrom('stdout' as const, 'stderr' as const),
})

describe('reports over a network that loses, doubles and reorders, with moves and restarts', () => {
  test('the authority holds each byte once and in order, and in the end it has everything', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 120 }), (happenings) => {
        const truth = { stdout: [] as number[], stderr: [] as number[] }
        const known = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] }
        const ends: CellEvent[] = []
        const marks = new Set<string>()
        let byte = 0
        let life = 1
        let epoch = 1
        const hosts = ['A', 'B', 'C']
        let at = 0
        /** Every outbox that ever was; those of earlier hosts still send. */
        const boxes = [{ host: 'A', box: emptyOutbox(CELL, 1, life) }]
        const current = () => boxes[boxes.length - 1] as (typeof boxes)[number]
        let inbox = expectFrom('A', 1)
        const wire: ({ to: 'authority'; from: number; batch: ReportBatch } | { to: number; ack: ReportAck })[] = []

        const write = (stream: 'stdout' | 'stderr', size: number): void => {
          const bytes = Uint8Array.from({ length: size }, () => byte++ % 251)
          current().box = append(current().box, { kind: 'output', stream, offset: truth[stream].length, bytes }, 0)
          truth[stream].push(...bytes)
        }
        const sendFrom = (index: number): void => {
          const sender = boxes[index] as (typeof boxes)[number]
          const next = nextBatch(sender.box)
          if (next === undefined) return
          sender.box = next.outbox
          wire.push({ to: 'authority', from: index, batch: next.batch })
        }
        const deliver = (pick: number): void => {
          const [message] = wire.splice(pick % Math.max(1, wire.length), 1)
          if (message === undefined) return
          if (message.to !== 'authority') {
            const target = boxes[message.to] as (typeof boxes)[number]
            target.box = acknowledge(target.box, message.ack)
            return
          }
          const host = (boxes[message.from] as (typeof boxes)[number]).host
          const taken = take(inbox, host, message.batch)
          inbox = taken.inbox
          for (const { event } of taken.events) {
            if (event.kind === 'output') {
              expect(event.offset).toBe(known[event.stream].reduce((sum, piece) => sum + piece.length, 0))
              known[event.stream].push(event.bytes)
            } else if (event.kind === 'finished') ends.push(event)
            else if (event.kind === 'running') {
              const mark = `${message.from} ${event.reason}`
              expect(marks.has(mark)).toBe(false)
              marks.add(mark)
            }
          }
          wire.push({ to: message.from, ack: taken.ack })
          for (const stream of ['stdout', 'stderr'] as const) {
            const have = [...concat(known[stream])]
            expect(have).toEqual(truth[stream].slice(0, have.length))
          }
        }

        for (const { kind, size, pick, stream } of happenings) {
          if (kind === 'write') write(stream, size)
          else if (kind === 'mark') current().box = append(current().box, { kind: 'running', reason: `${byte++}` }, 0)
          else if (kind === 'send') sendFrom(pick % boxes.length)
          else if (kind === 'deliver' || kind === 'answer') deliver(pick)
          else if (kind === 'double' && wire.length > 0) wire.push(wire[pick % wire.length] as (typeof wire)[number])
          else if (kind === 'lose') wire.splice(pick % Math.max(1, wire.length), 1)
          else if (kind === 'move') {
            const { box } = current()
            const to = hosts[++at % hosts.length] as string
            epoch++
            const next = succeed(box, epoch, ++life)
            current().box = append(box, { kind: 'moved', to, epoch }, 0)
            boxes.push({ host: to, box: next })
          } else if (kind === 'restart') {
            const { host, box } = current()
            boxes.push({ host, box: restoreOutbox(encodeOutbox(box), ++life) })
          }
        }
        current().box = append(current().box, { kind: 'finished', exitCode: 0, files: [], usage }, 0)
        // from now on the network is well: everybody repeats until nothing is left
        for (let turn = 0; boxes.some(({ box }) => box.entries.length > 0) && turn < 500; turn++) {
          for (const index of boxes.keys()) sendFrom(index)
          while (wire.length > 0) deliver(0)
        }
        expect([...concat(known.stdout)]).toEqual(truth.stdout)
        expect([...concat(known.stderr)]).toEqual(truth.stderr)
        expect(ends).toHaveLength(1)
        expect(boxes.every(({ box }) => box.entries.length === 0)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})

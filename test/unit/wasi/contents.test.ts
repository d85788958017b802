// Contents of files sent ahead of the state: whatever the program does in between, the other side has the same tree.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type ContentDelta,
  type ContentLedger,
  contentDelta,
  ReceivedContents,
  type Wasi,
  type WasiState,
  wasiState,
} from '../../../cells/wasi/index.ts'
import { fromCbor, toCbor } from '../../../core/shape.ts'
import { Guest, Open } from './guest.ts'

const PIECE = 65_536
const LIMIT = 40 * PIECE

const across = (delta: ContentDelta): ContentDelta => fromCbor(toCbor(delta), contentDelta, 'SNAPSHOT_MALFORMED')
const travel = (state: WasiState): WasiState => fromCbor(toCbor(state), wasiState, 'SNAPSHOT_MALFORMED')

/** A guest with a file of `pieces` pieces at /big, open as 4. */
function guestWith(pieces: number): Guest {
  const bytes = Uint8Array.from({ length: pieces * PIECE }, (_, i) => i >>> 8)
  const guest = new Guest({ files: [{ path: '/big', bytes }], diskBytes: LIMIT })
  expect(guest.open('big')).toBe(4)
  return guest
}

function sendAll(ledger: ContentLedger, received: ReceivedContents, maxBytes = 2 * PIECE): number[] {
  const sizes: number[] = []
  while (ledger.unsentBytes > 0) {
    const delta = across(ledger.next(maxBytes))
    sizes.push(delta.changes.flatMap(({ pieces }) => pieces).reduce((sum, { bytes }) => sum + bytes.length, 0))
    received.apply(delta)
  }
  return sizes
}

const stateBytes = (state: WasiState): number => toCbor(state).length

const callOf = (wasi: Wasi, name: string) => wasi.imports()[name] as (...args: (number | bigint)[]) => number

describe('contents sent ahead', () => {
  it('go in slices, and are left out of the state', () => {
    const guest = guestWith(5)
    const before = travel(guest.wasi.state())
    const [ledger, received] = [guest.wasi.trackContents(), new ReceivedContents(LIMIT)]
    expect(sendAll(ledger, received)).toEqual([2 * PIECE, 2 * PIECE, PIECE])
    const state = guest.wasi.state(ledger)
    expect(stateBytes(state)).toBeLessThan(1500)
    guest.restore(travel(state), received)
    expect(travel(guest.wasi.state())).toEqual(before)
    expect(guest.wasi.changedFiles()).toEqual([])
  })

  it('of a change only its piece goes, and what changes at last goes with the state', () => {
    const guest = guestWith(5)
    const [ledger, received] = [guest.wasi.trackContents(), new ReceivedContents(LIMIT)]
    sendAll(ledger, received)
    guest.seek(4, BigInt(PIECE + 5), 0)
    guest.write(4, 'one')
    expect(ledger.unsentBytes).toBe(PIECE)
    expect(sendAll(ledger, received)).toEqual([PIECE])
    guest.seek(4, 0n, 2)
    guest.write(4, 'two')
    const state = guest.wasi.state(ledger)
    expect(state.nodes.find(({ inode }) => inode === 4)).toMatchObject({
      size: 5 * PIECE + 3,
      pieces: [{ at: 5 * PIECE }],
    })
    const whole = travel(guest.wasi.state())
    guest.restore(travel(state), received)
    expect(travel(guest.wasi.state())).toEqual(whole)
  })

  it('make room before they take it', () => {
    const guest = guestWith(30)
    const other = guest.open('other', Open.CREAT)
    const [ledger, received] = [guest.wasi.trackContents(), new ReceivedContents(LIMIT)]
    guest.write(other, 'x')
    sendAll(ledger, received)
    guest.write(other, 'y')
    expect(guest.call('fd_filestat_set_size', 4, 0n)).toBe(0)
    expect(guest.call('fd_filestat_set_size', other, BigInt(LIMIT))).toBe(0)
    sendAll(ledger, received)
    const gone = guest.open('third', Open.CREAT)
    expect(guest.call('fd_filestat_set_size', other, 0n)).toBe(0)
    expect(guest.call('fd_filestat_set_size', gone, BigInt(LIMIT))).toBe(0)
    sendAll(ledger, received)
    guest.call('fd_close', gone)
    guest.path('path_unlink_file', 'third')
    expect(guest.call('fd_filestat_set_size', 4, BigInt(LIMIT))).toBe(0)
    sendAll(ledger, received)
    const whole = travel(guest.wasi.state())
    guest.restore(travel(guest.wasi.state(ledger)), received)
    expect(travel(guest.wasi.state())).toEqual(whole)
  })

  it('whatever the program does between the slices, both sides agree', () => {
    const step = fc.oneof(
      fc.record({
        do: fc.constant('write'),
        name: fc.nat(3),
        at: fc.nat(4 * PIECE),
        text: fc.string({ minLength: 1 }),
      }),
      fc.record({ do: fc.constant('resize'), name: fc.nat(3), size: fc.nat(6 * PIECE) }),
      fc.record({ do: fc.constant('unlink'), name: fc.nat(3) }),
      fc.record({ do: fc.constant('rename'), name: fc.nat(3), to: fc.nat(3) }),
      fc.record({ do: fc.constant('send'), maxBytes: fc.nat(3 * PIECE) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const guest = guestWith(3)
        const [ledger, received] = [guest.wasi.trackContents(), new ReceivedContents(LIMIT)]
        for (const one of steps) {
          if ('maxBytes' in one) received.apply(across(ledger.next(one.maxBytes)))
          else if ('to' in one) guest.rename(`f${one.name}`, `f${one.to}`)
          else if (one.do === 'unlink') guest.path('path_unlink_file', `f${one.name}`)
          else {
            const fd = guest.open(`f${one.name}`, Open.CREAT)
            if ('size' in one) guest.call('fd_filestat_set_size', fd, BigInt(one.size))
            if ('at' in one) guest.seek(fd, BigInt(one.at), 0)
            if ('text' in one) guest.write(fd, one.text)
            guest.call('fd_close', fd)
          }
        }
        const original = guest.wasi
        guest.restore(travel(original.state(ledger)), received)
        const sameState = () => Buffer.compare(toCbor(original.state()), toCbor(guest.wasi.state())) === 0
        expect(sameState()).toBe(true)
        // What lies beyond the end is zero on both sides.
        for (const wasi of [guest.wasi, original]) callOf(wasi, 'fd_filestat_set_size')(4, BigInt(6 * PIECE))
        expect(sameState()).toBe(true)
      }),
      { numRuns: 50 },
    )
  })
})

describe('what is missing', () => {
  const sent = () => {
    const guest = guestWith(3)
    const [ledger, received] = [guest.wasi.trackContents(), new ReceivedContents(LIMIT)]
    const first = across(ledger.next(PIECE))
    const rest = across(ledger.next(LIMIT))
    return { guest, ledger, received, first, rest }
  }
  const malformed = expect.objectContaining({ code: 'SNAPSHOT_MALFORMED' })

  it('a delta that did not arrive is found out', () => {
    const { guest, ledger, received, rest } = sent()
    received.apply(rest)
    expect(() => guest.restore(guest.wasi.state(ledger), received)).toThrow(malformed)
  })

  it('a state that leaves contents out needs them', () => {
    const { guest, ledger } = sent()
    expect(() => guest.restore(guest.wasi.state(ledger))).toThrow(malformed)
  })

  it('a hole is refused', () => {
    const { guest, ledger, received, first, rest } = sent()
    received.apply(first)
    received.apply(rest)
    const state = guest.wasi.state(ledger)
    const holed = state.nodes.map((node) => (node.kind === 'file' ? { ...node, size: 2 ** 40 } : node))
    expect(() => guest.restore({ ...state, nodes: holed }, received)).toThrow(malformed)
    guest.restore(state, received)
  })

  it('more than the limit is refused before it is kept', () => {
    const { first } = sent()
    expect(() => new ReceivedContents(PIECE).apply(first)).toThrow(/more than/)
    const beyond = { changes: [{ inode: 4, size: 10, pieces: [{ at: 8, bytes: new Uint8Array(4) }] }], gone: [] }
    expect(() => new ReceivedContents(LIMIT).apply(beyond)).toThrow(/beyond/)
  })

  it('a ledger that did not see all changes is refused', () => {
    const { guest, ledger } = sent()
    guest.wasi.untrackContents()
    expect(() => guest.wasi.state(ledger)).toThrow(/did not see/)
  })
})

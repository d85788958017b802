// Standard input that comes while the program runs: reading and polling wait for it, also over a move.
import { describe, expect, it } from 'vitest'
import { Errno } from '../../../cells/wasi/errno.ts'
import { BLOCK_AGAIN, MAX_WAIT_MS } from '../../../cells/wasi/types.ts'
import { utf8 } from '../../../core/bytes.ts'
import { Guest, passing } from './guest.ts'

const SECOND = 1_000_000_000n

function subscribe(guest: Guest, at: number, type: number, fd: number): void {
  guest.view.setBigUint64(at, BigInt(at), true)
  guest.view.setUint8(at + 8, type)
  guest.view.setUint32(at + 16, fd, true)
}

function subscribeClock(guest: Guest, at: number, timeout: bigint): void {
  subscribe(guest, at, 0, 1)
  guest.view.setBigUint64(at + 24, timeout, true)
}

/** Of the events: userdata, bytes, flags. */
function poll(guest: Guest, count: number): number | [number, number, number][] {
  const errno = guest.call('poll_oneoff', 4096, 8192, count, 8)
  if (errno !== 0) return errno
  return Array.from({ length: guest.u32(8) }, (_, i) => {
    const at = 8192 + 32 * i
    return [guest.u64(at), guest.u64(at + 16), guest.view.getUint16(at + 24, true)]
  })
}

/** Of the one event. */
function errnoOf(guest: Guest): number {
  expect(poll(guest, 1)).toHaveLength(1)
  return guest.view.getUint16(8192 + 8, true)
}

/** A guest whose n-th wait is ended by the n-th of `steps`. */
function waiting(...steps: readonly ((guest: Guest) => boolean)[]): Guest {
  const left = [...steps]
  const guest: Guest = new Guest({
    stdin: 'at once',
    stdinOpen: true,
    wait: (ms, clock) => {
      const step = left.shift()
      return step === undefined ? passing(clock, ms, false) : step(guest)
    },
  })
  return guest
}

const send =
  (text: string) =>
  (guest: Guest): boolean => {
    guest.wasi.writeStdin(utf8(text))
    return false
  }
const close = (guest: Guest): boolean => {
  guest.wasi.closeStdin()
  return false
}
const stop = (): boolean => true
const early = (): boolean => false

describe('reading', () => {
  it('waits for bytes, takes what has come, and ends with the input', () => {
    const guest = waiting(early, send('later'), send('more'), close)
    expect(guest.read(0)).toBe('at once')
    expect(guest.read(0, 3)).toBe('lat')
    expect(guest.waits).toEqual([MAX_WAIT_MS, MAX_WAIT_MS])
    expect(guest.read(0)).toBe('er')
    expect(guest.read(0)).toBe('more')
    expect(guest.read(0)).toBe('')
    expect(guest.read(0)).toBe('')
    expect(guest.waits.length).toBe(4)
    guest.wasi.writeStdin(utf8('too late'))
    expect(guest.read(0)).toBe('')
  })

  it('of nothing does not wait', () => {
    const guest = waiting()
    guest.read(0)
    expect(guest.read(0, 0)).toBe('')
    expect(guest.call('fd_read', 0, 512, 0, 8)).toBe(0)
    expect(guest.waits).toEqual([])
  })

  it('without waiting is AGAIN, until the input ends', () => {
    const guest = waiting()
    expect(guest.call('fd_fdstat_set_flags', 0, 4)).toBe(0)
    expect(guest.read(0)).toBe('at once')
    expect(guest.read(0)).toBe(-Errno.AGAIN)
    guest.wasi.closeStdin()
    expect(guest.read(0)).toBe('')
    expect(guest.waits).toEqual([])
  })

  it('is interrupted by a stop request, and goes on after a move', () => {
    const guest = waiting(stop, send('after'))
    expect(guest.read(0, 2)).toBe('at')
    send(' and')(guest)
    const { stdin, stdinRead, stdinClosed } = guest.wasi.state()
    expect([stdin, stdinRead, stdinClosed]).toEqual([utf8(' once and'), 2, false])
    expect(guest.wasi.unreadStdin()).toBe(9)
    guest.restore(guest.wasi.state())
    expect(guest.read(0)).toBe(' once and')
    expect(guest.call('fd_read', 0, ...guest.vector(4096, 100), 8)).toBe(BLOCK_AGAIN)
    guest.restore(guest.wasi.state())
    expect(guest.read(0)).toBe('after')
    expect(guest.wasi.state().stdinRead).toBe('at once and'.length + 'after'.length)
    guest.wasi.closeStdin()
    guest.restore(guest.wasi.state())
    expect(guest.read(0)).toBe('')
  })

  it('a bad buffer takes nothing', () => {
    const guest = waiting()
    expect(guest.call('fd_read', 0, ...guest.vector(-1, 1), 8)).toBe(Errno.FAULT)
    expect(guest.read(0)).toBe('at once')
  })
})

describe('polling', () => {
  it('tells what is there, and waits when nothing is', () => {
    const guest = waiting(early, send('later'))
    subscribe(guest, 4096, 1, 0)
    expect(poll(guest, 1)).toEqual([[4096, 7, 0]])
    guest.read(0)
    subscribe(guest, 4096, 1, 0)
    expect(poll(guest, 1)).toEqual([[4096, 5, 0]])
    expect(guest.waits).toEqual([MAX_WAIT_MS, MAX_WAIT_MS])
  })

  it('ends with the time-out when nothing comes', () => {
    const guest = waiting()
    guest.read(0)
    subscribe(guest, 4096, 1, 0)
    subscribeClock(guest, 4144, SECOND)
    expect(poll(guest, 2)).toEqual([[4144, 0, 0]])
    expect(guest.waits).toEqual([1000])
  })

  it('tells of the end of the input as a hang-up', () => {
    const guest = waiting(close)
    guest.read(0)
    subscribe(guest, 4096, 1, 0)
    expect(poll(guest, 1)).toEqual([[4096, 0, 1]])
  })

  it('goes on after a move, with the deadline it had', () => {
    const guest = waiting((at) => passing(at.clock, 400, true), early)
    guest.read(0)
    subscribe(guest, 4096, 1, 0)
    subscribeClock(guest, 4144, SECOND)
    expect(poll(guest, 2)).toBe(BLOCK_AGAIN)
    guest.restore(guest.wasi.state())
    expect(poll(guest, 2)).toEqual([[4144, 0, 0]])
    expect(guest.waits).toEqual([1000, 600, 600])
  })

  it('needs the right to poll, and an access mode', () => {
    const guest = waiting()
    const errno = (): number => errnoOf(guest)
    subscribe(guest, 4096, 1, 0)
    expect(guest.call('fd_fdstat_set_rights', 0, 2n, 0n)).toBe(0)
    expect(errno()).toBe(Errno.NOTCAPABLE)
    expect(guest.call('fd_fdstat_set_rights', 0, 0n, 0n)).toBe(0)
    expect(errno()).toBe(Errno.BADF)
    subscribe(guest, 4096, 2, 1)
    expect(errno()).toBe(0)
    expect(guest.u64(8192 + 16)).toBe(65_536)
  })

  it('refuses clocks that stand still meanwhile, and flags that nobody knows', () => {
    const guest = waiting()
    const errno = (): number => errnoOf(guest)
    for (const id of [2, 3, 4, -1]) {
      subscribe(guest, 4096, 0, id)
      expect(errno()).toBe(Errno.INVAL)
    }
    subscribe(guest, 4096, 0, 1)
    guest.view.setUint16(4096 + 40, 2, true)
    expect(errno()).toBe(Errno.INVAL)
  })
})

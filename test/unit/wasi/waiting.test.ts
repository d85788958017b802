// Clocks and blocking: deadlines hold across stop requests and moves, and the monotonic clock never runs backwards.
import { describe, expect, it } from 'vitest'
import { Errno } from '../../../cells/wasi/errno.ts'
import { BLOCK_AGAIN } from '../../../cells/wasi/index.ts'
import { Guest, passing } from './guest.ts'

const SECOND = 1_000_000_000n

function subscribeClock(guest: Guest, at: number, id: number, timeout: bigint, flags: number): void {
  const { view } = guest
  view.setBigUint64(at, BigInt(at), true)
  view.setUint8(at + 8, 0)
  view.setUint32(at + 16, id, true)
  view.setBigUint64(at + 24, timeout, true)
  view.setUint16(at + 40, flags, true)
}

function subscribeFd(guest: Guest, at: number, type: number, fd: number): void {
  guest.view.setBigUint64(at, BigInt(at), true)
  guest.view.setUint8(at + 8, type)
  guest.view.setUint32(at + 16, fd, true)
}

/** Userdata and errno of the events. */
function events(guest: Guest): [number, number][] {
  return Array.from({ length: guest.u32(8) }, (_, i) => [
    guest.u64(8192 + 32 * i),
    guest.view.getUint16(8192 + 32 * i + 8, true),
  ])
}

const poll = (guest: Guest, count: number): number => guest.call('poll_oneoff', 4096, 8192, count, 8)

const monotonic = (guest: Guest): bigint => {
  expect(guest.call('clock_time_get', 1, 0n, 16)).toBe(0)
  return guest.view.getBigUint64(16, true)
}

describe('clocks', () => {
  it('give the wall clock and a monotonic one that starts with the cell', () => {
    const guest = new Guest()
    guest.clock.advance(1.5)
    expect(guest.call('clock_time_get', 0, 0n, 16)).toBe(0)
    expect(guest.view.getBigUint64(16, true)).toBe(1_700_000_000_001_500_000n)
    expect(monotonic(guest)).toBe(1_500_000n)
    for (const id of [0, 1, 2, 3]) expect(guest.call('clock_res_get', id, 16)).toBe(0)
    expect(guest.view.getBigUint64(16, true)).toBe(1000n)
    expect(guest.call('clock_time_get', 4, 0n, 16)).toBe(Errno.INVAL)
    expect(guest.call('clock_time_get', -1, 0n, 16)).toBe(Errno.INVAL)
  })

  it('the monotonic clock goes on where it was, whatever the next host reads', () => {
    const guest = new Guest()
    guest.clock.advance(777.7777)
    const before = monotonic(guest)
    const state = guest.wasi.state()
    guest.clock.monoMs = 3
    guest.restore(state)
    expect(monotonic(guest)).toBeGreaterThanOrEqual(before)
    guest.clock.advance(1)
    expect(monotonic(guest)).toBe(before + 1_000_000n)
  })
})

describe('poll', () => {
  it('sleeps until the earliest time-out, in as many waits as the host makes of it', () => {
    const guest = new Guest({ wait: (ms, clock) => passing(clock, Math.min(ms, 400), false) })
    subscribeClock(guest, 4096, 1, 3n * SECOND, 0)
    subscribeClock(guest, 4144, 1, SECOND, 0)
    expect(poll(guest, 2)).toBe(0)
    expect(events(guest)).toEqual([[4144, 0]])
    expect(guest.waits).toEqual([1000, 600, 200])
    expect(monotonic(guest)).toBe(SECOND)
  })

  it('a descriptor is ready at once, a bad one is an event', () => {
    const guest = new Guest({ stdin: 'abc' })
    subscribeClock(guest, 4096, 1, SECOND, 0)
    subscribeFd(guest, 4144, 1, 0)
    subscribeFd(guest, 4192, 2, 77)
    expect(poll(guest, 3)).toBe(0)
    expect(events(guest)).toEqual([
      [4144, 0],
      [4192, Errno.BADF],
    ])
    expect(guest.u64(8192 + 16)).toBe(3)
    expect(guest.waits).toEqual([])
  })

  it('an absolute time is on the clock that it names', () => {
    const guest = new Guest()
    subscribeClock(guest, 4096, 0, 1_700_000_000_250_000_000n, 1)
    expect(poll(guest, 1)).toBe(0)
    expect(guest.waits).toEqual([250])
    subscribeClock(guest, 4096, 1, SECOND, 1)
    expect(poll(guest, 1)).toBe(0)
    expect(guest.waits).toEqual([250, 750])
  })

  it('refuses what makes no sense', () => {
    const guest = new Guest()
    expect(poll(guest, 0)).toBe(Errno.INVAL)
    expect(poll(guest, -1)).toBe(Errno.INVAL)
    subscribeFd(guest, 4096, 9, 0)
    expect(poll(guest, 1)).toBe(Errno.INVAL)
    subscribeClock(guest, 4096, 9, SECOND, 0)
    expect(poll(guest, 1)).toBe(0)
    expect(events(guest)).toEqual([[4096, Errno.INVAL]])
    expect(guest.call('poll_oneoff', 131_072 - 40, 8192, 1, 8)).toBe(Errno.FAULT)
  })

  it('a stop request interrupts it, and the deadline of the first call holds after the move', () => {
    let stopping = true
    const guest = new Guest({ wait: (ms, clock) => passing(clock, stopping ? 300 : ms, stopping) })
    subscribeClock(guest, 4096, 1, SECOND, 0)
    expect(poll(guest, 1)).toBe(BLOCK_AGAIN)
    expect(poll(guest, 1)).toBe(BLOCK_AGAIN)
    const state = guest.wasi.state()
    expect(state.blockedSinceUs).toBe(0)
    guest.clock.monoMs = 1
    guest.restore(state)
    stopping = false
    expect(poll(guest, 1)).toBe(0)
    expect(guest.waits).toEqual([1000, 700, 400])
    expect(guest.wasi.state().blockedSinceUs).toBeUndefined()
    expect(poll(guest, 1)).toBe(0)
    expect(guest.waits.at(-1)).toBe(1000)
  })

  it('a time-out beyond all timers is waited for in parts', () => {
    let waits = 0
    const guest = new Guest({ wait: () => ++waits === 3 })
    subscribeClock(guest, 4096, 1, 2n ** 64n - 1n, 0)
    expect(poll(guest, 1)).toBe(BLOCK_AGAIN)
    expect(Math.max(...guest.waits)).toBeLessThan(2 ** 31)
  })
})

// Exit, signals, randomness, clocks of the processor.
import { describe, expect, it } from 'vitest'
import { ExitStatus } from '../../../cells/wasi/index.ts'
import { sha256, utf8 } from '../../../core/bytes.ts'
import { Guest } from './guest.ts'

describe('signals', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 23, 24, 25, 26, 28, 29, 30])('%d ends', (signal) => {
    expect(() => new Guest().call('proc_raise', signal)).toThrow(expect.objectContaining({ exitCode: 128 + signal }))
    expect(() => new Guest().call('proc_raise', signal)).toThrow(ExitStatus)
  })

  it.each([0, 16, 17, 22, 27])('%d does nothing', (signal) => {
    expect(new Guest().call('proc_raise', signal)).toBe(0)
  })
})

describe('random bytes', () => {
  const seed = Uint8Array.from({ length: 32 }, (_, i) => i)
  const take = (guest: Guest, length: number): Uint8Array => {
    expect(guest.call('random_get', 4096, length)).toBe(0)
    return new Uint8Array(guest.memory.buffer.slice(4096, 4096 + length))
  }

  it('of a seed are the same stream in any pieces, and go on after a move', () => {
    const whole = take(new Guest({ randomSeed: seed }), 200)
    const guest = new Guest({ randomSeed: seed })
    const pieces = [1, 31, 40, 100, 28].map((length, index) => {
      if (index === 2) guest.restore(guest.wasi.state())
      return take(guest, length)
    })
    expect(Buffer.concat(pieces)).toEqual(Buffer.from(whole))
    expect(whole.subarray(0, 32)).toEqual(sha256(sha256(seed), new Uint8Array(8)))
    expect(whole.subarray(32, 64)).toEqual(sha256(sha256(seed), Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)))
    expect(take(new Guest({ randomSeed: utf8('another') }), 200)).not.toEqual(whole)
  })

  it('come from the host without one', () => {
    const guest = new Guest()
    expect(take(guest, 32)).not.toEqual(take(guest, 32))
    expect(guest.wasi.state().random).toBeUndefined()
  })
})

describe('processor clocks', () => {
  const clock = (guest: Guest, id: number): number => {
    expect(guest.call('clock_time_get', id, 0n, 16)).toBe(0)
    return guest.u64(16)
  }

  it('tell what the program has used, and never run backwards', () => {
    let cpuMs = 1.5
    const guest = new Guest({ cpuMs: () => cpuMs })
    guest.clock.advance(1000)
    expect([clock(guest, 2), clock(guest, 3)]).toEqual([1_500_000, 1_500_000])
    cpuMs = 1
    expect(clock(guest, 2)).toBe(1_500_000)
    cpuMs = 2
    expect(clock(guest, 3)).toBe(2_000_000)
    expect(clock(guest, 1)).toBe(1_000_000_000)
  })
})

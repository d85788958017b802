import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Penalties } from '../../../protocols/kit/penalty.ts'
import { Quotas } from '../../../protocols/kit/quota.ts'
import type { ProtocolSpec } from '../../../protocols/kit/types.ts'

const spec: ProtocolSpec = {
  id: '/cloudskin/test/1.0.0',
  maxMessageBytes: 1,
  maxInboundStreams: 1,
  maxOutboundStreams: 1,
  messageTimeoutMs: 1,
  streamTimeoutMs: 1,
  streamsPerMinute: 6,
  access: 'member',
}

describe('penalties', () => {
  test('the fifth broken bound bans, once, and ten minutes later all is forgiven', () => {
    const penalties = new Penalties()
    const bans = [0, 1, 2, 3, 4, 5].map((n) => penalties.add('peer', 'MESSAGE_TOO_LARGE', n * 1000))
    expect(bans).toEqual([false, false, false, false, true, false])
    expect(penalties.isBanned('peer', 60_000)).toBe(true)
    expect(penalties.isBanned('peer', 580_000)).toBe(true)
    expect(penalties.isBanned('other', 60_000)).toBe(false)
    expect(penalties.isBanned('peer', 725_000)).toBe(false)
    expect(penalties.add('peer', 'MESSAGE_TOO_LARGE', 725_000)).toBe(false)
  })

  test('what is no offence costs nothing, and rare offences fade away', () => {
    const penalties = new Penalties()
    for (let n = 0; n < 1000; n++) penalties.add('peer', 'STREAM_RESET', 0)
    expect(penalties.isBanned('peer', 0)).toBe(false)
    for (let n = 0; n < 100; n++) penalties.add('peer', 'MESSAGE_MALFORMED', n * 60_000)
    expect(penalties.isBanned('peer', 100 * 60_000)).toBe(false)
  })

  test('an army of names does not make it forget who is banned now, nor grow without end', () => {
    const penalties = new Penalties()
    for (let n = 0; n < 9_000; n++) penalties.add(`early-${n}`, 'STREAM_ENDED', 0)
    for (let n = 0; n < 5; n++) penalties.add('peer', 'MESSAGE_TOO_LARGE', 20_000)
    for (let n = 0; n < 9_000; n++) penalties.add(`late-${n}`, 'STREAM_ENDED', 20_000)
    expect(penalties.isBanned('peer', 20_000)).toBe(true)
  })
})

describe('quotas', () => {
  test('a minute has so many streams, and they come back evenly', () => {
    const quotas = new Quotas()
    const take = (now: number): boolean => quotas.take('peer', spec, now)
    expect([0, 0, 0, 0, 0, 0, 0].map(take)).toEqual([true, true, true, true, true, true, false])
    expect([9_999, 10_000, 10_001, 20_000].map(take)).toEqual([false, true, false, true])
    expect(quotas.take('other', spec, 20_000)).toBe(true)
    expect(quotas.take('peer', { ...spec, id: '/cloudskin/other/1.0.0' }, 20_000)).toBe(true)
  })

  test('an army of names costs no more memory, and who asks on is not forgotten', () => {
    const quotas = new Quotas()
    while (quotas.take('greedy', spec, 0));
    for (let n = 0; n < 30_000; n++) {
      expect(quotas.take(`name ${n}`, spec, 0)).toBe(true)
      if (n % 5_000 === 0) expect(quotas.take('greedy', spec, 0)).toBe(false)
    }
    expect(quotas.take('greedy', spec, 0)).toBe(false)
  })

  test('no order of asking gets more than one full bucket and the refill', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 20_000 }), { maxLength: 60 }), (gaps) => {
        const quotas = new Quotas()
        let now = 0
        let got = 0
        for (const gap of gaps) {
          now += gap
          if (quotas.take('peer', spec, now)) got++
        }
        expect(got).toBeLessThanOrEqual(spec.streamsPerMinute + (now * spec.streamsPerMinute) / 60_000 + 1e-6)
      }),
    )
  })
})

import { format } from 'node:util'
import type { Logger } from '@libp2p/interface'
import { expect, test } from 'vitest'
import { GivenAddresses } from '../../../node/given.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const SELF = '12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo'
const [ONE, TWO] = [
  '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp',
  '12D3KooWSHj3RRbBjD15g6wekV8y3mm57Pobmps2g2WJm6F67Lay',
] as const
const at = (peer: string): string => `/ip4/192.0.2.1/tcp/4170/p2p/${peer}`

async function said(given: readonly string[], members: readonly string[]): Promise<string[]> {
  const lines: string[] = []
  const log = Object.assign(() => undefined, {
    error: (...args: [string, ...unknown[]]) => lines.push(format(...args)),
  }) as unknown as Logger
  const clock = new ManualClock()
  const init = { self: SELF, given, members: () => members.map((peer) => ({ peer })), clock, log }
  const waiting = new GivenAddresses(init)
  await waiting.start()
  await clock.advance(60_000)
  await waiting.stop()
  return lines
}

test('an address that answers nothing, or is in another mesh, is named with a code; one of several is enough', async () => {
  const [line, ...others] = await said([at(ONE), at(TWO)], ['somebody else'])
  expect(others).toEqual([])
  expect(line).toContain(at(ONE))
  expect(line).toContain('[JOIN_UNANSWERED]')
  expect(await said([at(ONE), at(TWO)], [TWO])).toEqual([])
  expect(await said([], [])).toEqual([])
  // The first peer of a mesh whose machines all have one configuration.
  expect(await said([at(SELF)], [])).toEqual([])
  expect((await said([at(SELF), at(ONE)], [])).join()).not.toContain(at(SELF))
})

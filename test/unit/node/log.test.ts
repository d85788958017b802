import { afterEach, expect, test, vi } from 'vitest'
import { loggerOf } from '../../../node/log.ts'
import { ManualClock } from '../../support/manual-clock.ts'

afterEach(() => vi.restoreAllMocks())

test('what another peer says is one line, and does nothing to the terminal', () => {
  const lines: string[] = []
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => lines.push(String(text)) > 0)
  const log = loggerOf('network', 'info', new ManualClock())
  log.error('%s did not renew: %e', 'peer', new Error('no\n2026-01-01T00:00:00.000Z error peer: all is lost\u001b[2J'))
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(/Z error network: peer did not renew: no 2026-01-01\S+ error peer: all is lost\ufffd\[2J\n$/)
  log.trace('not at this level')
  expect(lines).toHaveLength(1)
})

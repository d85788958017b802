import { expect, test } from 'vitest'
import { Accusers } from '../../../protocols/state/accusers.ts'
import { CLAIM_BURST, CLAIM_INTERVAL_MS, MAX_REFUTED, REFUTED_FADE_MS } from '../../../protocols/state/protocol.ts'

test('an accuser is heard so often at once, and then once per interval', () => {
  const accusers = new Accusers()
  const heard = Array.from({ length: CLAIM_BURST + 10 }, () => accusers.take('liar', 0)).filter(Boolean)
  expect(heard).toHaveLength(CLAIM_BURST)
  expect(accusers.take('honest', 0)).toBe(true)
  expect(accusers.take('liar', CLAIM_INTERVAL_MS - 1)).toBe(false)
  expect(accusers.take('liar', CLAIM_INTERVAL_MS)).toBe(true)
  expect(accusers.take('liar', CLAIM_INTERVAL_MS)).toBe(false)
})

test('one that is refuted again and again confirms nothing any more, for a while', () => {
  const accusers = new Accusers()
  expect(accusers.isCredible('liar', 0)).toBe(true)
  for (let i = 0; i < MAX_REFUTED; i++) accusers.refuted('liar', 0)
  expect(accusers.isCredible('liar', 0)).toBe(false)
  expect(accusers.isCredible('other', 0)).toBe(true)
  expect(accusers.isCredible('liar', REFUTED_FADE_MS)).toBe(true)
  accusers.refuted('liar', REFUTED_FADE_MS)
  expect(accusers.isCredible('liar', REFUTED_FADE_MS)).toBe(false)
  accusers.forget('liar')
  expect(accusers.isCredible('liar', REFUTED_FADE_MS)).toBe(true)
})

import { expect, test } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import { answerMessage, deltaMessage, openingMessage } from '../../../protocols/state/exchange.ts'
import { Members } from '../../../protocols/state/members.ts'
import { decodeExchange } from '../../../protocols/state/messages.ts'
import { isSignificant, OwnRecord } from '../../../protocols/state/own-record.ts'
import { FAILED_KEPT_MS, LEFT_KEPT_MS, MAX_PEERS } from '../../../protocols/state/protocol.ts'
import { EMPTY_FIELDS, type SignedRecord } from '../../../protocols/state/record.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { newSigner, recordOf } from './fixtures.ts'

const signedAs = (peer: string, incarnation: number, version = 1): SignedRecord => ({
  record: recordOf(peer, { incarnation, version }),
  bytes: new Uint8Array(),
  signature: new Uint8Array(64),
  hash: `${peer} ${incarnation} ${version}`,
})

function newMembers(clock = new ManualClock()): Members {
  return new Members({
    self: 'me',
    clock,
    random: seededRandom(1),
    connected: () => [],
    onListenerError: (error) => {
      throw error
    },
  })
}

test('a forgotten member does not come back by an old record, but by a new life', async () => {
  const clock = new ManualClock()
  const members = newMembers(clock)
  members.store(signedAs('me', 1))
  members.store(signedAs('a', 5, 2))
  members.feed({ kind: 'probed', peer: 'a', outcome: 'dead', silentHelpers: 0 })
  await clock.advance(60_000)
  // The late tick counts as a stall of ours, and gives the suspect its time back.
  members.feed({ kind: 'tick' })
  await clock.advance(60_000)
  members.feed({ kind: 'tick' })
  const seen: (string | undefined)[] = []
  members.onChange((peer, member) => seen.push(`${peer} ${member?.status}`))
  for (let i = 0; members.get('a')?.status === 'suspect' && i < 400; i++) {
    await clock.advance(250)
    members.feed({ kind: 'tick' })
  }
  expect(members.get('a')?.status).toBe('failed')
  await clock.advance(FAILED_KEPT_MS)
  members.feed({ kind: 'tick' })
  expect(seen).toEqual(['a failed', 'a undefined'])
  expect(members.peers().map(({ record }) => record.peer)).toEqual(['me'])
  expect(members.wants('a', { incarnation: 5, version: 2 })).toBe(false)
  expect(members.known()).toContain('a')
  expect(members.wants('a', { incarnation: 6, version: 1 })).toBe(true)
})

test('a forgotten member that comes back with an earlier clock is shown its own last words', async () => {
  const clock = new ManualClock()
  const [left, back] = [newMembers(clock), newMembers(clock)]
  const last = { ...signedAs('a', 500), bytes: Uint8Array.of(5) }
  left.store({ ...last, record: { ...last.record, left: true } })
  await clock.advance(LEFT_KEPT_MS)
  left.feed({ kind: 'tick' })
  expect(left.peers()).toEqual([])
  back.store(signedAs('a', 20))
  const shown = (bytes: Uint8Array | undefined) => bytes && decodeExchange(bytes).records.map((one) => one.bytes)
  // Whoever begins.
  const first = decodeExchange(openingMessage(back, 'a'))
  expect(shown(answerMessage(left, 'me', first, 'a').bytes)).toEqual([last.bytes])
  const answer = decodeExchange(answerMessage(back, 'a', decodeExchange(openingMessage(left, 'me')), 'me').bytes)
  expect(shown(deltaMessage(left, answer, 'a'))).toEqual([last.bytes])
  // Nobody else is told of who is gone.
  const other = decodeExchange(openingMessage(newMembers(clock), 'b'))
  expect(shown(answerMessage(left, 'me', other, 'b').bytes)).toEqual([])
  // Nor whoever has forgotten an older word of it, and would list it anew.
  expect(shown(answerMessage(left, 'me', first, 'b').bytes)).toEqual([])
  expect(shown(deltaMessage(left, answer, 'b'))).toBeUndefined()
})

test('the table is bounded, whatever members claim to exist', () => {
  const members = newMembers()
  for (let i = 0; i < MAX_PEERS; i++) members.store(signedAs(`p${i}`, 1))
  expect(members.wants('one-more', { incarnation: 1, version: 1 })).toBe(false)
  expect(members.wants('p0', { incarnation: 1, version: 2 })).toBe(true)
})

test('an older record, or the same again, changes nothing and tells nobody', () => {
  const members = newMembers()
  members.store(signedAs('a', 5, 2))
  let told = 0
  members.onChange(() => told++)
  expect(members.store(signedAs('a', 5, 2))).toEqual([])
  expect(members.store(signedAs('a', 5, 1))).toEqual([])
  expect(told).toBe(0)
  members.store(signedAs('a', 5, 3))
  expect(told).toBe(1)
  expect(members.get('a')?.record.version).toBe(3)
})

test('a tenth of CPU, memory or disk, a slot and a phase matter at once; a twentieth does not', () => {
  const base = {
    ...EMPTY_FIELDS,
    capacity: { cpuCores: 4, memoryBytes: 1_000, diskBytes: 1_000, slots: 4 },
    free: { cpu: 0.5, memoryBytes: 500, diskBytes: 500, slots: 4 },
    cells: [{ id: 'a', phase: 'running' }],
  }
  const matters = (patch: Partial<typeof base>): boolean => isSignificant(base, { ...base, ...patch })
  expect(matters({})).toBe(false)
  expect(matters({ free: { ...base.free, cpu: 0.55, memoryBytes: 550, diskBytes: 450 } })).toBe(false)
  expect(matters({ free: { ...base.free, cpu: 0.61 } })).toBe(true)
  expect(matters({ free: { ...base.free, memoryBytes: 600 } })).toBe(true)
  expect(matters({ free: { ...base.free, diskBytes: 400 } })).toBe(true)
  expect(matters({ free: { ...base.free, slots: 3 } })).toBe(true)
  expect(matters({ cells: [{ id: 'a', phase: 'suspended' }] })).toBe(true)
  expect(matters({ load: { ...base.load, backlogMs: 500 } })).toBe(false)
  expect(matters({ load: { ...base.load, backlogMs: 1_500 } })).toBe(true)
})

test('versions count up, and an earlier life with a later clock is overtaken', async () => {
  const own = new OwnRecord(await newSigner())
  own.begin(1_000)
  const stamps = async (): Promise<number[]> => {
    const { record } = await own.seal()
    return [record.incarnation, record.version]
  }
  expect(await Promise.all([stamps(), stamps()])).toEqual([
    [1_000, 1],
    [1_000, 2],
  ])
  own.supersede({ incarnation: 999, version: 7 })
  expect(await stamps()).toEqual([1_000, 3])
  own.supersede({ incarnation: 9_000, version: 7 })
  expect(await stamps()).toEqual([9_001, 1])
  own.begin(2_000)
  expect(await stamps()).toEqual([9_002, 1])
})

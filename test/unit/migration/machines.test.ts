// The two pure machines: their important steps, and what no sequence of events may make them do.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { newDestination, recoverDestination, stepDestination } from '../../../protocols/migration/destination.ts'
import type { DestinationEvent, DestinationState } from '../../../protocols/migration/destination-events.ts'
import { imageRoot } from '../../../protocols/migration/image.ts'
import { DEADLINES } from '../../../protocols/migration/protocol.ts'
import { newSource, recoverSource, stepSource } from '../../../protocols/migration/source.ts'
import type { SourceEffect, SourceEvent, SourceState } from '../../../protocols/migration/source-events.ts'
import { chunksOf, IMAGE, OFFER } from './samples.ts'

const ROOT = imageRoot(IMAGE)
const LIMITS = { deadlines: DEADLINES, maxSnapshotBytes: 1 << 20 }

function drive<S, E, F extends { readonly kind: string }>(
  step: (state: S, event: E) => { readonly state: S; readonly effects: readonly F[] },
  state: S,
  events: readonly E[],
): { state: S; effects: F[] } {
  const effects: F[] = []
  let now = state
  for (const event of events) {
    const next = step(now, event)
    now = next.state
    effects.push(...next.effects)
  }
  return { state: now, effects }
}

const kindsOf = (effects: readonly { readonly kind: string }[]): string[] =>
  effects.map(({ kind }) => kind).filter((kind) => kind !== 'arm')

const ready: SourceEvent = { kind: 'message', message: { kind: 'ready' } }
const received: SourceEvent = { kind: 'message', message: { kind: 'received', root: ROOT } }
const running: SourceEvent = { kind: 'message', message: { kind: 'running', epoch: 2 } }
const refuse: SourceEvent = { kind: 'message', message: { kind: 'refuse', reason: 'no' } }
const SENDING: SourceEvent[] = [{ kind: 'begin' }, ready, { kind: 'suspended' }]
const COMMITTING: SourceEvent[] = [...SENDING, { kind: 'kept' }, { kind: 'image-sent', root: ROOT }, received]
const HANDED_OVER: SourceEvent[] = [...COMMITTING, { kind: 'stored' }]
const fresh = (): SourceState => newSource('c', 'a', 1, DEADLINES)

describe('the source', () => {
  it('hands over only after image, answer and commit', () => {
    expect(kindsOf(drive(stepSource, fresh(), SENDING).effects)).toEqual(['prepare', 'suspend', 'keep', 'send-image'])
    const committing = drive(stepSource, fresh(), COMMITTING)
    expect(committing.effects.at(-1)).toMatchObject({ kind: 'store', phase: 'committed', root: ROOT })
    const over = drive(stepSource, fresh(), [...HANDED_OVER, running, { kind: 'stored' }, { kind: 'discarded' }])
    expect(kindsOf(over.effects).slice(-7)).toEqual([
      'send',
      'store',
      'discard',
      'settle',
      'clean',
      'close-stream',
      'outcome',
    ])
    expect(over.effects.at(-1)).toMatchObject({ outcome: 'moved', epoch: 2 })
  })

  it.each<[string, SourceEvent[], string, number | undefined]>([
    ['refused at once', [{ kind: 'begin' }, refuse], 'done', undefined],
    ['not suspended', [{ kind: 'begin' }, ready, { kind: 'suspend-failed', reason: 'busy' }], 'done', undefined],
    [
      'cancelled while it stops',
      [{ kind: 'begin' }, ready, { kind: 'cancel', reason: 'x' }, { kind: 'suspended' }],
      'resuming',
      1,
    ],
    ['not kept', [...SENDING, { kind: 'keep-failed', reason: 'full' }], 'resuming', 1],
    ['refused while sending', [...SENDING, refuse], 'resuming', 1],
    ['received otherwise', [...SENDING, { kind: 'kept' }, { kind: 'image-sent', root: 'x' }, received], 'resuming', 1],
    ['not committed', [...COMMITTING, { kind: 'store-failed', reason: 'full' }], 'resuming', 1],
    [
      'lost while committing',
      [...COMMITTING, { kind: 'stream-lost', reason: 'x' }, { kind: 'stored' }],
      'deciding',
      undefined,
    ],
    ['lost after the hand-over', [...HANDED_OVER, { kind: 'stream-lost', reason: 'x' }], 'in-doubt', undefined],
    ['refused after the hand-over', [...HANDED_OVER, refuse], 'in-doubt', undefined],
    ['cancelled after the hand-over', [...HANDED_OVER, { kind: 'cancel', reason: 'x' }], 'handed-over', undefined],
    [
      'answered for another epoch',
      [...HANDED_OVER, { kind: 'message', message: { kind: 'running', epoch: 3 } }],
      'in-doubt',
      undefined,
    ],
  ])('when it is %s', (_name, events, phase, resumed) => {
    const { state, effects } = drive(stepSource, fresh(), events)
    expect(state.phase).toBe(phase)
    expect(effects.find((effect) => effect.kind === 'resume')?.epoch).toBe(resumed)
  })

  it.each<[SourceEvent, string]>([
    [{ kind: 'answer', answer: 'owned' }, 'deciding'],
    [{ kind: 'answer', answer: 'never' }, 'deciding'],
    [{ kind: 'answer', answer: 'unknown' }, 'in-doubt'],
    [{ kind: 'answer', answer: 'pending' }, 'in-doubt'],
    [{ kind: 'answer', answer: 'no-answer' }, 'in-doubt'],
    [{ kind: 'decide', decision: 'resume' }, 'deciding'],
    [{ kind: 'decide', decision: 'drop' }, 'deciding'],
  ])('in doubt, after %o', (event, phase) => {
    const lost: SourceEvent = { kind: 'stream-lost', reason: 'x' }
    expect(drive(stepSource, fresh(), [...HANDED_OVER, lost, event]).state.phase).toBe(phase)
  })

  it('does not tell the destination to forget what it could not write itself', () => {
    const end: SourceEvent[] = [running, { kind: 'store-failed', reason: 'full' }, { kind: 'discarded' }]
    const { state, effects } = drive(stepSource, fresh(), [...HANDED_OVER, ...end])
    expect(state.phase).toBe('done')
    expect(kindsOf(effects)).not.toContain('settle')
  })

  it('says once how it ended, and discards until that is done', () => {
    const failed: SourceEvent = { kind: 'discard-failed', reason: 'full' }
    const before = drive(stepSource, fresh(), [...HANDED_OVER, running, { kind: 'stored' }, failed])
    const again = drive(stepSource, before.state, [
      { kind: 'timeout', serial: before.state.serial },
      { kind: 'discarded' },
    ])
    expect(kindsOf(before.effects).filter((kind) => kind === 'outcome')).toHaveLength(1)
    expect(kindsOf(again.effects)).toEqual(['discard', 'settle', 'clean', 'close-stream'])
  })

  it.each([
    ['kept', 'resume'],
    ['committed', 'ask'],
    ['resuming', 'resume'],
    ['moved', 'discard'],
    ['dropped', 'discard'],
  ] as const)('restarted with %s does %s', (phase, effect) => {
    const record = { kind: 'source', phase, cell: 'c', attempt: 'a', to: 'b', epoch: 1, root: ROOT, at: 0 } as const
    expect(kindsOf(recoverSource(record, DEADLINES).effects)).toEqual([effect])
  })
})

const prepared: DestinationEvent[] = [{ kind: 'begin' }, { kind: 'prepared' }]
const sizes = { snapshotBytes: IMAGE.snapshot.length, contextBytes: IMAGE.context.length }
const arriving: DestinationEvent[] = [
  ...prepared,
  { kind: 'message', message: { kind: 'image', ...sizes } },
  ...chunksOf(IMAGE).map((message) => ({ kind: 'message', message }) as const),
  { kind: 'message', message: { kind: 'complete', root: ROOT } },
]
const storedAs = (phase: 'received' | 'owned' | 'active' | 'refused' | 'left'): DestinationEvent => ({
  kind: 'stored',
  phase,
})
const atReceived: DestinationEvent[] = [...arriving, { kind: 'loaded' }, { kind: 'kept' }, storedAs('received')]
const { cell, attempt, epoch } = OFFER
const handOver: DestinationEvent = { kind: 'message', message: { kind: 'hand-over', cell, attempt, epoch, root: ROOT } }
const atActive: DestinationEvent[] = [...atReceived, handOver, storedAs('owned'), { kind: 'activated' }]
const empty = (): DestinationState => newDestination(OFFER, LIMITS)

describe('the destination', () => {
  it('runs the cell only after it owns it', () => {
    const { state, effects } = drive(stepDestination, empty(), atActive)
    expect(state.phase).toBe('active')
    expect(kindsOf(effects)).toEqual([
      'prepare',
      'send',
      'load',
      'keep',
      'store',
      'send',
      'store',
      'activate',
      'send',
      'store',
    ])
  })

  it.each<[string, DestinationEvent[], string]>([
    ['cannot prepare', [{ kind: 'begin' }, { kind: 'prepare-failed', reason: 'full' }], 'gone'],
    ['is lost while it receives', [...prepared, { kind: 'stream-lost', reason: 'x' }], 'gone'],
    ['cannot load', [...arriving, { kind: 'load-failed', reason: 'x' }], 'gone'],
    ['cannot keep', [...arriving, { kind: 'loaded' }, { kind: 'keep-failed', reason: 'x' }], 'gone'],
    ['hears of the hand-over too early', [...prepared, handOver], 'gone'],
    [
      'gets another root',
      [...arriving.slice(0, -1), { kind: 'message', message: { kind: 'complete', root: 'x' } }],
      'gone',
    ],
    [
      'gets too much',
      [...prepared, { kind: 'message', message: { kind: 'image', snapshotBytes: 2 << 20, contextBytes: 0 } }],
      'gone',
    ],
    [
      'is lost while it records',
      [...arriving, { kind: 'loaded' }, { kind: 'kept' }, { kind: 'stream-lost', reason: 'x' }, storedAs('received')],
      'refusing',
    ],
    ['is lost before the hand-over', [...atReceived, { kind: 'stream-lost', reason: 'x' }], 'refusing'],
    ['is asked before the hand-over', [...atReceived, { kind: 'ask', id: 1 }], 'refusing'],
    [
      'gets another hand-over',
      [...atReceived, { kind: 'message', message: { kind: 'hand-over', cell, attempt, epoch: 9, root: ROOT } }],
      'refusing',
    ],
    [
      'cannot write that it owns',
      [...atReceived, handOver, { kind: 'store-failed', phase: 'owned', reason: 'x' }],
      'refusing',
    ],
    [
      'is lost after it',
      [...atReceived, handOver, { kind: 'stream-lost', reason: 'x' }, storedAs('owned')],
      'activating',
    ],
    [
      'cannot start it',
      [...atReceived, handOver, storedAs('owned'), { kind: 'activate-failed', reason: 'x' }],
      'activating',
    ],
    [
      'hears of it late',
      [...atReceived, { kind: 'stream-lost', reason: 'x' }, storedAs('refused'), handOver],
      'refused',
    ],
    ['has left', [...atActive, { kind: 'left' }, storedAs('active'), storedAs('left')], 'left'],
    [
      'cannot write that it left',
      [...atActive, { kind: 'left' }, { kind: 'store-failed', phase: 'left', reason: 'x' }],
      'leaving',
    ],
    ['only knows that it ran', [...atActive, { kind: 'left' }, storedAs('active')], 'leaving'],
  ])('when it %s', (_name, events, phase) => {
    expect(drive(stepDestination, empty(), events).state.phase).toBe(phase)
  })

  it.each([
    ['received', false, ['store']],
    ['owned', false, ['activate']],
    ['owned', true, []],
    ['active', false, []],
    ['refused', false, []],
    ['left', false, []],
  ] as const)('restarted with %s, moving on: %s', (phase, movingOn, effects) => {
    const record = { kind: 'destination', phase, from: 'a', offer: OFFER, root: ROOT, at: 0 } as const
    expect(kindsOf(recoverDestination(record, LIMITS, movingOn).effects)).toEqual(effects)
  })
})

// -- what holds for any sequence of events

const reason = fc.constant('x')
const simple = <K extends string>(...kinds: K[]): fc.Arbitrary<{ kind: K }> =>
  fc.constantFrom(...kinds.map((kind) => ({ kind })))
const failed = <K extends string>(...kinds: K[]): fc.Arbitrary<{ kind: K; reason: string }> =>
  fc.record({ kind: fc.constantFrom(...kinds), reason })
const roots = fc.constantFrom(ROOT, 'other')

const sourceEvents: fc.Arbitrary<SourceEvent> = fc.oneof(
  { weight: 3, arbitrary: simple('suspended', 'kept', 'stored', 'resumed', 'discarded') },
  failed('suspend-failed', 'keep-failed', 'store-failed', 'resume-failed', 'discard-failed', 'stream-lost', 'cancel'),
  fc.record({ kind: fc.constant('image-sent' as const), root: roots }),
  fc.record({
    kind: fc.constant('message' as const),
    message: fc.constantFrom<Extract<SourceEvent, { kind: 'message' }>['message'][]>(
      { kind: 'ready' },
      { kind: 'received', root: ROOT },
      { kind: 'running', epoch: 2 },
      { kind: 'owned', epoch: 2, reason: 'x' },
      { kind: 'refuse', reason: 'x' },
    ),
  }),
  fc.record({
    kind: fc.constant('answer' as const),
    answer: fc.constantFrom('owned', 'never', 'unknown', 'pending', 'no-answer'),
  }),
  fc.record({ kind: fc.constant('decide' as const), decision: fc.constantFrom('resume', 'drop') }),
  fc.record({ kind: fc.constant('timeout' as const), serial: fc.integer({ min: 0, max: 12 }) }),
)

/** Prefixes bring the machines to where it matters; what follows is anything. */
const sourceRuns = fc.tuple(
  fc.integer({ min: 1, max: HANDED_OVER.length }).map((length) => HANDED_OVER.slice(0, length)),
  fc.array(sourceEvents, { maxLength: 15 }),
)

describe('any sequence of events', () => {
  it('at the source: no hand-over without a commit, no resume after it without `never` or the owner', () => {
    fc.assert(
      fc.property(sourceRuns, ([prefix, rest]) => {
        let state = fresh()
        let pending: Extract<SourceEffect, { kind: 'store' }> | undefined
        let committed = false
        let handedOver = false
        let released = false
        let suspended = false
        for (const event of [...prefix, ...rest]) {
          if (event.kind === 'suspended') suspended = true
          if (event.kind === 'stored' && pending?.phase === 'committed') committed = true
          if (event.kind === 'stored' || event.kind === 'store-failed') pending = undefined
          if (
            state.phase === 'in-doubt' &&
            (event.kind === 'decide' || (event.kind === 'answer' && event.answer === 'never'))
          )
            released = true
          const step = stepSource(state, event)
          state = step.state
          for (const effect of step.effects) {
            if (effect.kind === 'store') pending = effect
            if (effect.kind === 'send' && effect.message.kind === 'hand-over') {
              expect(committed).toBe(true)
              handedOver = true
            }
            if (effect.kind === 'resume') {
              expect(suspended).toBe(true)
              expect(!handedOver || released).toBe(true)
              expect(effect.epoch).toBe(handedOver ? 3 : 1)
            }
            if (effect.kind === 'discard') expect(handedOver).toBe(true)
          }
        }
      }),
      { numRuns: 1500 },
    )
  })

  it('at the destination: no start before `owned`, no `never` before `refused`, nothing of the one after the other', () => {
    const events: fc.Arbitrary<DestinationEvent> = fc.oneof(
      { weight: 3, arbitrary: simple('prepared', 'loaded', 'kept', 'activated', 'settled', 'left') },
      failed('prepare-failed', 'load-failed', 'keep-failed', 'activate-failed', 'stream-lost'),
      { weight: 3, arbitrary: fc.constant<DestinationEvent>({ kind: 'stored', phase: 'left' }) },
      fc.constant<DestinationEvent>({ kind: 'store-failed', phase: 'left', reason: 'x' }),
      fc.constantFrom<DestinationEvent[]>(handOver, { kind: 'message', message: { kind: 'cancel', reason: 'x' } }),
      fc.record({ kind: fc.constant('ask' as const), id: fc.integer({ min: 0, max: 3 }) }),
      fc.record({ kind: fc.constant('timeout' as const), serial: fc.integer({ min: 0, max: 14 }) }),
    )
    const runs = fc.tuple(fc.integer({ min: 1, max: atActive.length }), fc.array(events, { maxLength: 15 }))
    fc.assert(
      fc.property(runs, ([length, rest]) => {
        let state = empty()
        // The journal: writes end in the order in which they were asked for, whatever the event claims.
        const pending: ('received' | 'owned' | 'active' | 'refused' | 'left')[] = []
        const durable = new Set<string>()
        for (const drawn of [...atActive.slice(0, length), ...rest]) {
          let event = drawn
          if (event.kind === 'stored' || event.kind === 'store-failed') {
            const phase = pending.shift()
            if (phase === undefined) continue
            event = { ...event, phase }
            if (event.kind === 'stored') durable.add(phase)
          }
          const step = stepDestination(state, event)
          state = step.state
          for (const effect of step.effects) {
            if (effect.kind === 'store') pending.push(effect.phase)
            if (effect.kind === 'activate') expect([...durable]).toEqual(expect.arrayContaining(['received', 'owned']))
            if (effect.kind === 'answer' && effect.answer === 'never') expect(durable.has('refused')).toBe(true)
            if (effect.kind === 'answer' && effect.answer === 'owned') expect(durable.has('owned')).toBe(true)
            if (effect.kind === 'send' && effect.message.kind === 'received') expect(durable.has('received')).toBe(true)
            if (effect.kind === 'send' && effect.message.kind === 'running') expect(durable.has('owned')).toBe(true)
            if (effect.kind === 'drop-image' && durable.has('received'))
              expect(['active', 'refused', 'left'].some((phase) => durable.has(phase))).toBe(true)
          }
          expect(durable.has('owned') && durable.has('refused')).toBe(false)
        }
      }),
      { numRuns: 1500 },
    )
  })
})

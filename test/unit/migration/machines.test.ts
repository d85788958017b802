// The two pure machines: their important steps, and what no sequence of events may make them do.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { newDestination, recoverDestination, stepDestination } from '../../../protocols/migration/destination.ts'
import type { DestinationEvent, DestinationState } from '../../../protocols/migration/destination-events.ts'
import { DEADLINES, MAX_ROUNDS, STOP_RULE } from '../../../protocols/migration/protocol.ts'
import { newSource, recoverSource, stepSource } from '../../../protocols/migration/source.ts'
import type { SourceEvent, SourceState } from '../../../protocols/migration/source-events.ts'
import { IMAGE, OFFER, sent } from './samples.ts'

const { root: ROOT, pieces: PIECES } = sent(IMAGE)
const MAX_BYTES = 2 << 20
const LIMITS = { deadlines: DEADLINES, maxImageBytes: MAX_BYTES, stopRule: { ...STOP_RULE, maxBytes: MAX_BYTES } }

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

const ready: SourceEvent = { kind: 'message', message: { kind: 'ready', maxImageBytes: MAX_BYTES } }
const received: SourceEvent = { kind: 'message', message: { kind: 'received', root: ROOT } }
const running: SourceEvent = { kind: 'message', message: { kind: 'running', epoch: 2 } }
const refuse: SourceEvent = { kind: 'message', message: { kind: 'refuse', reason: 'no' } }
const appliedAs = (round: number): SourceEvent => ({ kind: 'message', message: { kind: 'applied', round } })
const measuredAs = (dirtyBytes: number): SourceEvent => ({ kind: 'measured', dirtyBytes, elapsedMs: 1 })
const COPYING: SourceEvent[] = [{ kind: 'begin' }, ready, { kind: 'copying', isLive: true }]
const ROUND: SourceEvent[] = [...COPYING, { kind: 'round-sent', bytes: 1 << 20 }, appliedAs(1)]
const STOPPING: SourceEvent[] = [...ROUND, measuredAs(1000)]
const SENDING: SourceEvent[] = [...STOPPING, { kind: 'stopped' }, { kind: 'sealed', root: ROOT, bytes: 1000 }]
const HANDED_OVER: SourceEvent[] = [...SENDING, received, { kind: 'committed' }]
const fresh = (): SourceState => newSource('c', 'a', 1, LIMITS)

describe('the source', () => {
  it('hands over only after image, answer and commit, whichever comes first', () => {
    expect(kindsOf(drive(stepSource, fresh(), SENDING).effects)).toEqual([
      'prepare',
      'copy',
      'round',
      'measure',
      'stop',
      'seal',
    ])
    for (const end of [
      [received, { kind: 'committed' }],
      [{ kind: 'committed' }, received],
    ] as SourceEvent[][]) {
      const { state, effects } = drive(stepSource, fresh(), [...SENDING, ...end])
      expect(state.phase).toBe('handed-over')
      expect(effects.at(-2)).toMatchObject({ kind: 'send', message: { kind: 'hand-over', epoch: 2, root: ROOT } })
      expect(drive(stepSource, fresh(), [...SENDING, ...end.slice(0, 1)]).state.phase).toBe('sending')
    }
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
    ['not copied', [{ kind: 'begin' }, ready, { kind: 'copy-failed', reason: 'busy' }], 'done', undefined],
    ['cancelled in a round', [...COPYING, { kind: 'cancel', reason: 'x' }], 'done', undefined],
    ['lost in a round', [...COPYING, { kind: 'stream-lost', reason: 'x' }], 'done', undefined],
    ['refused in a round', [...COPYING, refuse], 'done', undefined],
    ['ended in a round', [...COPYING, { kind: 'copy-failed', reason: 'it has ended' }], 'done', undefined],
    ['told of a round that is not due', [...COPYING, appliedAs(2)], 'done', undefined],
    ['told of a round twice', [...COPYING, appliedAs(1), appliedAs(1)], 'done', undefined],
    ['handed back in a round', [...COPYING, received], 'done', undefined],
    ['not stopped', [...STOPPING, { kind: 'stop-failed', reason: 'busy' }], 'done', undefined],
    ['cancelled while it stops', [...STOPPING, { kind: 'cancel', reason: 'x' }], 'stopping', undefined],
    ['stopped, and was cancelled', [...STOPPING, { kind: 'cancel', reason: 'x' }, { kind: 'stopped' }], 'resuming', 1],
    ['not committed', [...SENDING, { kind: 'commit-failed', reason: 'full' }], 'deciding', undefined],
    [
      'neither committed nor taken back in the journal',
      [...SENDING, { kind: 'commit-failed', reason: 'full' }, { kind: 'store-failed', reason: 'full' }],
      'resuming',
      1,
    ],
    ['refused while sending', [...SENDING, refuse, { kind: 'stored' }], 'resuming', 1],
    [
      'received otherwise',
      [...STOPPING, { kind: 'stopped' }, { kind: 'sealed', root: 'x', bytes: 1000 }, received],
      'deciding',
      undefined,
    ],
    [
      'lost while committing',
      [...SENDING, { kind: 'stream-lost', reason: 'x' }, { kind: 'committed' }],
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

  it('copies round after round as long as that leaves less, and not a cell that cannot be watched', () => {
    const round = (n: number, dirtyBytes: number): SourceEvent[] => [
      { kind: 'round-sent', bytes: 1 << 16 },
      appliedAs(n),
      measuredAs(dirtyBytes),
    ]
    const rounds = [...round(1, 60 << 10), ...round(2, 30 << 10), ...round(3, 29 << 10)]
    const small = { ...LIMITS, stopRule: { ...LIMITS.stopRule, smallBytes: 1 } }
    const { state, effects } = drive(stepSource, newSource('c', 'a', 1, small), [...COPYING, ...rounds])
    expect(state.phase).toBe('stopping')
    expect(effects.filter(({ kind }) => kind === 'round')).toEqual([1, 2, 3].map((n) => ({ kind: 'round', round: n })))
    const still = drive(stepSource, fresh(), [...COPYING.slice(0, 2), { kind: 'copying', isLive: false }])
    expect(kindsOf(still.effects)).toEqual(['prepare', 'copy', 'stop'])
  })

  it('lets the cell stand still no longer than what is left takes', () => {
    const sealed = (bytes: number): number => {
      const events: SourceEvent[] = [...STOPPING, { kind: 'stopped' }, { kind: 'sealed', root: ROOT, bytes }]
      const { effects } = drive(stepSource, fresh(), events)
      return effects.findLast((effect) => effect.kind === 'arm')?.afterMs ?? Number.NaN
    }
    expect(sealed(0)).toBe(DEADLINES.lastMs)
    expect(sealed(256 << 20) - sealed(0)).toBeCloseTo((256 << 20) / 1000)
  })

  it('ends a copy that came to nothing, and lets the destination forget it', () => {
    const { effects } = drive(stepSource, fresh(), [...COPYING, { kind: 'cancel', reason: 'x' }])
    expect(kindsOf(effects)).toEqual([
      'prepare',
      'copy',
      'round',
      'cancel-copy',
      'clean',
      'close-stream',
      'settle',
      'outcome',
    ])
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
    ['committed', 'ask'],
    ['resuming', 'resume'],
    ['moved', 'discard'],
    ['dropped', 'discard'],
  ] as const)('restarted with %s does %s', (phase, effect) => {
    const record = { kind: 'source', phase, cell: 'c', attempt: 'a', to: 'b', epoch: 1, root: ROOT, at: 0 } as const
    expect(kindsOf(recoverSource(record, LIMITS).effects)).toEqual([effect])
  })
})

const prepared: DestinationEvent[] = [{ kind: 'begin' }, { kind: 'prepared', maxImageBytes: MAX_BYTES }]
const storedAs = (phase: 'arriving' | 'owned' | 'active' | 'refused' | 'left'): DestinationEvent => ({
  kind: 'stored',
  phase,
})
const atReady: DestinationEvent[] = [...prepared, storedAs('arriving')]
const messages = PIECES.map((message) => ({ kind: 'message', message }) as const)
const atRound: DestinationEvent[] = [
  ...atReady,
  ...messages.slice(0, 2),
  { kind: 'message', message: { kind: 'round', round: 1 } },
  { kind: 'applied' },
]
const arriving: DestinationEvent[] = [
  ...atRound,
  ...messages.slice(2),
  { kind: 'message', message: { kind: 'complete', root: ROOT } },
]
const atReceived: DestinationEvent[] = [...arriving, { kind: 'finished' }, { kind: 'committed' }]
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
      'store',
      'send',
      'append',
      'append',
      'add',
      'apply',
      'send',
      'append',
      'add',
      'finish',
      'commit',
      'send',
      'store',
      'activate',
      'send',
      'store',
    ])
    expect(effects.find((effect) => effect.kind === 'add')).toEqual({ kind: 'add', part: IMAGE.parts[0] })
    expect(effects.find((effect) => effect.kind === 'finish')).toEqual({ kind: 'finish', context: IMAGE.context })
  })

  it.each<[string, DestinationEvent[], string]>([
    ['cannot prepare', [{ kind: 'begin' }, { kind: 'prepare-failed', reason: 'full' }], 'gone'],
    ['is lost before it is ready', [...prepared, { kind: 'stream-lost', reason: 'x' }], 'gone'],
    ['cannot write that it is ready', [...prepared, { kind: 'store-failed', phase: 'arriving', reason: 'x' }], 'gone'],
    ['is lost while it receives', [...atReady, { kind: 'stream-lost', reason: 'x' }], 'refusing'],
    ['hears while it receives that it is over', [...atRound, { kind: 'settled' }], 'gone'],
    [
      'hears so after it refused',
      [...atReady, { kind: 'stream-lost', reason: 'x' }, { kind: 'settled' }, storedAs('refused')],
      'gone',
    ],
    [
      'is not given the next round',
      [...atReady, { kind: 'message', message: { kind: 'round', round: 2 } }],
      'refusing',
    ],
    [
      'is told of the end of a round in the middle of a part',
      [...atReady, ...messages.slice(0, 1), { kind: 'message', message: { kind: 'round', round: 1 } }],
      'refusing',
    ],
    [
      'is told of the end of a round before it applied the last one',
      [...atRound.slice(0, -1), { kind: 'message', message: { kind: 'round', round: 2 } }],
      'refusing',
    ],
    ['cannot apply', [...atReady, ...messages.slice(0, 2), { kind: 'add-failed', reason: 'x' }], 'refusing'],
    ['cannot append', [...atReady, ...messages.slice(0, 1), { kind: 'append-failed', reason: 'x' }], 'refusing'],
    ['cannot finish', [...arriving, { kind: 'finish-failed', reason: 'x' }], 'refusing'],
    ['cannot commit', [...arriving, { kind: 'finished' }, { kind: 'commit-failed', reason: 'x' }], 'refusing'],
    ['hears of the hand-over too early', [...arriving, handOver], 'refusing'],
    [
      'gets another root',
      [...arriving.slice(0, -1), { kind: 'message', message: { kind: 'complete', root: 'x' } }],
      'refusing',
    ],
    ['gets a piece twice', [...atReady, ...messages.slice(0, 1), ...messages.slice(0, 1)], 'refusing'],
    ['is asked in a round', [...atRound, { kind: 'ask', id: 1 }], 'refusing'],
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
    ['cannot write that it runs', [...atActive, { kind: 'store-failed', phase: 'active', reason: 'x' }], 'active'],
    ['only knows that it ran', [...atActive, { kind: 'left' }, storedAs('active')], 'leaving'],
  ])('when it %s', (_name, events, phase) => {
    expect(drive(stepDestination, empty(), events).state.phase).toBe(phase)
  })

  it('takes in no more than it may', () => {
    const limits = { ...LIMITS, maxImageBytes: 1 << 18 }
    const { state } = drive(stepDestination, newDestination(OFFER, limits), [...atReady, ...messages.slice(0, 2)])
    expect(state).toMatchObject({ phase: 'refusing', reason: expect.stringContaining('more than this peer takes in') })
  })

  it('takes part in only so many rounds', () => {
    const round = (n: number): DestinationEvent[] => [
      { kind: 'message', message: { kind: 'round', round: n } },
      { kind: 'applied' },
    ]
    const rounds = Array.from({ length: MAX_ROUNDS }, (_, i) => round(i + 1)).flat()
    expect(drive(stepDestination, empty(), [...atReady, ...rounds]).state.phase).toBe('receiving')
    const { state } = drive(stepDestination, empty(), [...atReady, ...rounds, ...round(MAX_ROUNDS + 1)])
    expect(state.phase).toBe('refusing')
  })

  it('writes that it runs until that is written', () => {
    const failed = drive(stepDestination, empty(), [
      ...atActive,
      { kind: 'store-failed', phase: 'active', reason: 'full' },
    ])
    const again = drive(stepDestination, failed.state, [{ kind: 'timeout', serial: failed.state.serial }])
    expect(again.effects).toEqual([{ kind: 'store', phase: 'active', root: ROOT }])
  })

  it.each([
    ['arriving', false, ['store']],
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
  { weight: 3, arbitrary: simple('stopped', 'committed', 'stored', 'resumed', 'discarded') },
  failed(
    'copy-failed',
    'stop-failed',
    'commit-failed',
    'store-failed',
    'resume-failed',
    'discard-failed',
    'stream-lost',
    'cancel',
  ),
  fc.record({ kind: fc.constant('copying' as const), isLive: fc.boolean() }),
  fc.record({ kind: fc.constant('round-sent' as const), bytes: fc.nat(1000) }),
  fc.record({ kind: fc.constant('measured' as const), dirtyBytes: fc.nat(1 << 21), elapsedMs: fc.nat(1000) }),
  fc.record({ kind: fc.constant('sealed' as const), root: roots, bytes: fc.nat(1000) }),
  fc.record({
    kind: fc.constant('message' as const),
    message: fc.constantFrom<Extract<SourceEvent, { kind: 'message' }>['message'][]>(
      { kind: 'ready', maxImageBytes: MAX_BYTES },
      { kind: 'applied', round: 1 },
      { kind: 'applied', round: 2 },
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
        let committed = false
        let mayHaveCommitted = false
        let handedOver = false
        let released = false
        let stopping = false
        let stopped = false
        for (const event of [...prefix, ...rest]) {
          if (event.kind === 'stopped' && stopping) stopped = true
          if (event.kind === 'committed' && state.phase === 'sending') committed = true
          if (
            state.phase === 'in-doubt' &&
            (event.kind === 'decide' || (event.kind === 'answer' && event.answer === 'never'))
          )
            released = true
          const step = stepSource(state, event)
          state = step.state
          for (const effect of step.effects) {
            if (effect.kind === 'stop') stopping = true
            if (effect.kind === 'seal') {
              expect(stopped).toBe(true)
              mayHaveCommitted = true
            }
            // The journal's last word is not that it was handed over: written, or tried in vain.
            if (effect.kind === 'store' && effect.phase !== 'committed') mayHaveCommitted = false
            if (effect.kind === 'send' && effect.message.kind === 'hand-over') {
              expect(committed).toBe(true)
              handedOver = true
            }
            if (effect.kind === 'resume') {
              expect(stopped).toBe(true)
              expect(mayHaveCommitted).toBe(false)
              expect(!handedOver || released).toBe(true)
              expect(effect.epoch).toBe(handedOver ? 3 : 1)
            }
            if (effect.kind === 'discard') expect(handedOver).toBe(true)
            // A cell that was stopped is not left standing.
            if (effect.kind === 'outcome' && effect.outcome === 'resumed' && stopped) expect(event.kind).toBe('resumed')
          }
        }
      }),
      { numRuns: 3000 },
    )
  })

  it('at the destination: no start before `owned`, no `never` before `refused`, nothing of the one after the other', () => {
    const events: fc.Arbitrary<DestinationEvent> = fc.oneof(
      { weight: 3, arbitrary: simple('applied', 'finished', 'committed', 'activated', 'settled', 'left') },
      fc.constant<DestinationEvent>({ kind: 'prepared', maxImageBytes: MAX_BYTES }),
      failed(
        'prepare-failed',
        'add-failed',
        'append-failed',
        'finish-failed',
        'commit-failed',
        'activate-failed',
        'stream-lost',
      ),
      { weight: 3, arbitrary: fc.constant<DestinationEvent>({ kind: 'stored', phase: 'left' }) },
      fc.constant<DestinationEvent>({ kind: 'store-failed', phase: 'left', reason: 'x' }),
      fc.constantFrom<DestinationEvent[]>(handOver, ...messages),
      fc.record({ kind: fc.constant('ask' as const), id: fc.integer({ min: 0, max: 3 }) }),
      fc.record({ kind: fc.constant('timeout' as const), serial: fc.integer({ min: 0, max: 14 }) }),
    )
    const runs = fc.tuple(fc.integer({ min: 1, max: atActive.length }), fc.array(events, { maxLength: 15 }))
    fc.assert(
      fc.property(runs, ([length, rest]) => {
        let state = empty()
        // The journal: writes end in the order in which they were asked for, whatever the event claims.
        const pending: ('arriving' | 'owned' | 'active' | 'refused' | 'left')[] = []
        const durable = new Set<string>()
        let settled = false
        for (const drawn of [...atActive.slice(0, length), ...rest]) {
          let event = drawn
          if (event.kind === 'stored' || event.kind === 'store-failed') {
            const phase = pending.shift()
            if (phase === undefined) continue
            event = { ...event, phase }
            if (event.kind === 'stored') durable.add(phase)
          }
          if (event.kind === 'committed' && state.phase === 'finishing') durable.add('image')
          settled ||= event.kind === 'settled'
          const step = stepDestination(state, event)
          state = step.state
          for (const effect of step.effects) {
            if (effect.kind === 'store') pending.push(effect.phase)
            if (effect.kind === 'activate')
              expect([...durable]).toEqual(expect.arrayContaining(['arriving', 'image', 'owned']))
            if (effect.kind === 'answer' && effect.answer === 'never') expect(durable.has('refused')).toBe(true)
            if (effect.kind === 'answer' && effect.answer === 'owned') expect(durable.has('owned')).toBe(true)
            if (effect.kind === 'send' && effect.message.kind === 'ready') expect(durable.has('arriving')).toBe(true)
            if (effect.kind === 'send' && effect.message.kind === 'received') expect(durable.has('image')).toBe(true)
            if (effect.kind === 'send' && effect.message.kind === 'running') expect(durable.has('owned')).toBe(true)
            if (effect.kind === 'drop-image' && durable.has('owned'))
              expect(['active', 'left'].some((phase) => durable.has(phase))).toBe(true)
            // Only the source's word lets it forget that it was ready.
            if (effect.kind === 'clean' && durable.has('arriving')) expect(settled).toBe(true)
          }
          expect(durable.has('owned') && durable.has('refused')).toBe(false)
        }
      }),
      { numRuns: 1500 },
    )
  })
})

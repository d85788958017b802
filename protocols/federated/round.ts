// One round on one peer, as a pure machine: who takes part, whose updates count, commit or abort. It ends by its deadline
// whatever anybody else does. The argument is in docs/decisions/0003-rounds-without-a-coordinator.md.
import { messageOf } from '../../core/errors.ts'
import type { PeerKey } from '../kit/types.ts'
import { average, checkTensor, type Update } from './average.ts'
import type { FederatedErrorCode } from './errors.ts'
import { versionOf } from './lineage.ts'
import { MAX_INVITED, MAX_VIEW } from './protocol.ts'
import { refusalOf } from './round-key.ts'
import { intersection, minus, mutual, others, plus, ranked } from './round-sets.ts'
import type {
  Refusal,
  RoundConfig,
  RoundEffect,
  RoundEvent,
  RoundOutcome,
  RoundState,
  RoundStep,
} from './round-types.ts'
import type { TaskDescriptor } from './types.ts'

/** Begins an attempt: asks the members. A peer that joins another's attempt gathers only as long as that one does. */
export function openRound(
  config: RoundConfig,
  init: { readonly view: number; readonly members: readonly PeerKey[]; readonly gatherMs?: number },
  now: number,
): RoundStep {
  const gatherMs = Math.min(init.gatherMs ?? config.deadlines.gatherMs, config.deadlines.gatherMs)
  const others = [...new Set(init.members)].filter((peer) => peer !== config.self)
  const invited = ranked(config, others).slice(0, MAX_INVITED)
  const state: RoundState = {
    config,
    phase: 'gather',
    view: init.view,
    closesAt: now + gatherMs,
    endsAt: now + gatherMs,
    invited,
    asked: new Set(invited),
    group: new Set([config.self]),
    gone: new Set(),
    settled: new Set(),
    updates: new Map(),
    holds: new Map(),
    agrees: new Map(),
  }
  return proceed(state, [{ kind: 'ask', to: invited, view: init.view, closesInMs: gatherMs }], now)
}

export function step(state: RoundState, event: RoundEvent, now: number): RoundStep {
  if (state.phase === 'ended') return refuse(state, { code: 'ROUND_NONE', reason: 'the round has ended here' })
  const refusal = 'key' in event ? refusalOf(state, event.peer, event.key, event.kind) : undefined
  if (refusal !== undefined) return refuse(state, refusal)
  switch (event.kind) {
    case 'ready':
      return onReady(state, event, now)
    case 'answered':
      return onAnswer(state, event, now)
    case 'trained':
      return onTrained(state, event.update, now)
    case 'update':
      return onUpdate(state, event.peer, event.update, now)
    case 'set':
      return onSet(state, event, now)
    case 'leave':
      return onLeave(state, event.peer, now)
    case 'gone':
      return proceed({ ...state, gone: plus(state.gone, event.peer), asked: minus(state.asked, event.peer) }, [], now)
    case 'adopted':
      return state.phase === 'adopt' && state.lineage !== undefined
        ? end(state, { kind: 'committed', lineage: state.lineage })
        : { state, effects: [] }
    case 'adopt-failed':
      return state.phase === 'adopt' ? abort(state, 'ROUND_ADOPT_FAILED', event.reason) : { state, effects: [] }
    case 'cancel':
      return abort(state, event.code, event.reason)
    case 'tick':
      return proceed(state, [], now)
  }
}

function onReady(state: RoundState, event: RoundEvent & { readonly kind: 'ready' }, now: number): RoundStep {
  const { peer, key, closesInMs } = event
  if (state.phase !== 'gather')
    return state.group.has(peer)
      ? { state, effects: [] }
      : refuse(state, { code: 'ROUND_CLOSED', reason: 'the members of this round are already settled' })
  if (!state.group.has(peer) && state.group.size > MAX_INVITED)
    return refuse(state, { code: 'ROUND_FULL', reason: 'more members than can be asked want to take part' })
  // The first to close sets the time for all, so that everybody's deadlines lie together.
  const closesAt = Math.min(state.closesAt, now + closesInMs)
  const aligned = { ...state, closesAt, endsAt: closesAt }
  const raised = key.view > state.view ? raise(aligned, key.view, now) : { state: aligned, effects: [] }
  return proceed({ ...raised.state, group: plus(raised.state.group, peer) }, raised.effects, now)
}

function onAnswer(state: RoundState, event: RoundEvent & { readonly kind: 'answered' }, now: number): RoundStep {
  if (state.phase !== 'gather') return { state, effects: [] }
  if (event.view > state.view && event.view <= MAX_VIEW) {
    const raised = raise(state, event.view, now)
    return proceed(raised.state, raised.effects, now)
  }
  const joined = event.joined && event.view === state.view
  const group = joined ? plus(state.group, event.peer) : state.group
  return proceed({ ...state, group, asked: minus(state.asked, event.peer) }, [], now)
}

/** Moves on to a later attempt that somebody is in already: everybody is asked again, within the same time. */
function raise(state: RoundState, view: number, now: number): { state: RoundState; effects: RoundEffect[] } {
  const to = state.invited.filter((peer) => !state.gone.has(peer))
  const next = { ...state, view, asked: new Set(to), group: new Set([state.config.self]) }
  return { state: next, effects: [{ kind: 'ask', to, view, closesInMs: Math.max(state.endsAt - now, 0) }] }
}

function onTrained(state: RoundState, update: Update | undefined, now: number): RoundStep {
  const { self } = state.config
  if (state.phase !== 'exchange' || state.settled.has(self)) return { state, effects: [] }
  const updates = update === undefined ? state.updates : new Map(state.updates).set(self, update)
  const sent: RoundEffect = { kind: 'send-update', to: others(state), update }
  return proceed({ ...state, updates, settled: plus(state.settled, self) }, [sent], now)
}

function onUpdate(state: RoundState, peer: PeerKey, update: Update | undefined, now: number): RoundStep {
  if (state.settled.has(peer)) {
    if (state.updates.get(peer)?.hash === update?.hash) return { state, effects: [] }
    return refuse(state, { code: 'UPDATE_DUPLICATE', reason: `${peer} has already sent another update` })
  }
  if (state.phase !== 'gather' && state.phase !== 'exchange')
    return refuse(state, { code: 'ROUND_CLOSED', reason: 'updates of this round are no longer taken' })
  const senders = new Set([...state.group, ...state.settled])
  if (!senders.has(peer) && senders.size >= state.config.task.maxGroup)
    return refuse(state, { code: 'ROUND_FULL', reason: `the group has its ${state.config.task.maxGroup} members` })
  if (update !== undefined) {
    const wrong = fault(state.config.task, update.delta) ?? weightFault(update)
    if (wrong !== undefined) return refuse(state, wrong)
  }
  const updates = update === undefined ? state.updates : new Map(state.updates).set(peer, update)
  return proceed({ ...state, updates, settled: plus(state.settled, peer) }, [], now)
}

function fault(task: TaskDescriptor, values: Float32Array): Refusal | undefined {
  try {
    checkTensor(task, values)
    return undefined
  } catch (error) {
    return { code: (error as { code?: FederatedErrorCode }).code ?? 'UPDATE_WRONG_SHAPE', reason: messageOf(error) }
  }
}

function weightFault({ weight }: Update): Refusal | undefined {
  if (Number.isSafeInteger(weight) && weight >= 1) return undefined
  return { code: 'UPDATE_NOT_FINITE', reason: `a weight of ${weight} samples` }
}

function onSet(state: RoundState, event: RoundEvent & { readonly kind: 'set' }, now: number): RoundStep {
  const { peer, set } = event
  if (!state.group.has(peer) && !state.settled.has(peer))
    return refuse(state, { code: 'ROUND_NONE', reason: `${peer} is no member of this group` })
  const field = event.step === 'hold' ? 'holds' : 'agrees'
  // The first word counts: a set that changes afterwards could split the group.
  if (state[field].has(peer)) return { state, effects: [] }
  const late = state.phase === 'adopt' || (field === 'holds' && state.phase === 'agree')
  if (late) return refuse(state, { code: 'ROUND_CLOSED', reason: `the step ${event.step} has ended here` })
  return proceed({ ...state, [field]: new Map(state[field]).set(peer, set) }, [], now)
}

function onLeave(state: RoundState, peer: PeerKey, now: number): RoundStep {
  if (!state.group.has(peer)) return { state, effects: [] }
  const holds = new Map(state.holds)
  const agrees = new Map(state.agrees)
  holds.delete(peer)
  agrees.delete(peer)
  return proceed({ ...state, holds, agrees, gone: plus(state.gone, peer) }, [], now)
}

/** Goes through as many phases as are complete, or out of time, now. */
function proceed(from: RoundState, first: readonly RoundEffect[], now: number): RoundStep {
  let state = from
  const effects = [...first]
  for (;;) {
    const next = now >= state.endsAt || complete(state) ? advance(state) : undefined
    if (next === undefined) return { state, effects }
    effects.push(...next.effects)
    state = next.state
  }
}

/** True when nobody is waited for any more in the present phase. */
function complete(state: RoundState): boolean {
  const all = (done: { has(peer: PeerKey): boolean }): boolean =>
    [...state.group].every((peer) => done.has(peer) || (state.gone.has(peer) && peer !== state.config.self))
  switch (state.phase) {
    case 'gather':
      return state.asked.size === 0
    case 'exchange':
      return all(state.settled)
    case 'hold':
      return all(state.holds)
    case 'agree':
      return all(state.agrees)
    default:
      return false
  }
}

/**
 * When `phase` ends at the latest. Counted from the end of the gathering, not from when the phase began here: a member that
 * waits in vain for somebody the others never knew of is itself waited for.
 */
function deadlineOf({ closesAt, config }: RoundState, phase: 'exchange' | 'hold' | 'agree' | 'adopt'): number {
  const { exchangeMs, agreeMs, adoptMs } = config.deadlines
  const after = { exchange: 0, hold: agreeMs, agree: 2 * agreeMs, adopt: 2 * agreeMs + adoptMs }
  return closesAt + exchangeMs + after[phase]
}

function advance(state: RoundState): RoundStep | undefined {
  const { config } = state
  const { task, deadlines, self } = config
  switch (state.phase) {
    case 'gather': {
      const present = [...state.group].filter((peer) => !state.gone.has(peer))
      const group = new Set(ranked(config, present).slice(0, task.maxGroup))
      if (group.size < task.quorum)
        return abort(state, 'ROUND_TOO_FEW', `${group.size} of at least ${task.quorum} members took part`)
      if (!group.has(self))
        return abort(state, 'ROUND_FULL', `the group of ${task.maxGroup} is complete without this peer`)
      const senders = new Set([...group, ...state.settled])
      const kept = senders.size > task.maxGroup ? only(state, group) : state
      return {
        state: { ...kept, phase: 'exchange', group, endsAt: deadlineOf(state, 'exchange') },
        effects: [{ kind: 'train' }],
      }
    }
    case 'exchange': {
      const stop: RoundEffect[] = state.settled.has(self) ? [] : [{ kind: 'stop-training' }]
      const mine = new Map([...state.updates].map(([peer, { hash }]) => [peer, hash]))
      if (mine.size < task.quorum) return tooFew(state, `this peer holds ${mine.size} updates`)
      const holds = new Map(state.holds).set(self, mine)
      const sent: RoundEffect = { kind: 'send-set', to: others(state), step: 'hold', set: mine }
      return { state: { ...state, phase: 'hold', holds, endsAt: deadlineOf(state, 'hold') }, effects: [...stop, sent] }
    }
    case 'hold': {
      const inCommon = intersection(state.holds)
      const going = inCommon.size < task.quorum ? withMutual(state) : state
      const common = intersection(going.holds)
      if (common.size < task.quorum) return tooFew(state, `${inCommon.size} updates reached all members`)
      const agrees = new Map(going.agrees).set(self, common)
      const sent: RoundEffect = { kind: 'send-set', to: others(state), step: 'agree', set: common }
      return { state: { ...going, phase: 'agree', agrees, endsAt: deadlineOf(state, 'agree') }, effects: [sent] }
    }
    case 'agree':
      return conclude(state)
    case 'adopt':
      return abort(state, 'ROUND_ADOPT_FAILED', `the new version was not stored within ${deadlines.adoptMs} ms`)
    case 'ended':
      return undefined
  }
}

/** Forgets updates that came early from those who are not in `group`: a version names no more contributors than a group has. */
function only(state: RoundState, group: ReadonlySet<PeerKey>): RoundState {
  const updates = new Map([...state.updates].filter(([peer]) => group.has(peer)))
  const settled = new Set([...state.settled].filter((peer) => group.has(peer)))
  return { ...state, updates, settled }
}

/**
 * Goes on without those that would leave too little in common: where two members never reach each other, a third that reaches
 * both takes one of them along, and the other one follows later.
 */
function withMutual(state: RoundState): RoundState {
  const staying = mutual(state)
  const left = <T>(map: ReadonlyMap<PeerKey, T>) => new Map([...map].filter(([peer]) => staying.has(peer)))
  const settled = new Set([...state.settled].filter((peer) => staying.has(peer)))
  return { ...state, group: staying, settled, holds: left(state.holds), agrees: left(state.agrees) }
}

/** The agreed set is known: averages it, or gives up. */
function conclude(state: RoundState): RoundStep {
  const { task, taskHash, parent, weights: from } = state.config
  const agreed = intersection(state.agrees)
  if (state.agrees.size < task.quorum) return tooFew(state, `${state.agrees.size} members are left`)
  if (agreed.size < task.quorum) return tooFew(state, `${agreed.size} updates were agreed on`)
  const chosen = new Map([...state.updates].filter(([peer, { hash }]) => agreed.get(peer) === hash))
  const weights = average(task, from, chosen)
  // A version that nobody else would take may not come about: whoever missed this round could never follow.
  const wrong = fault(task, weights)
  if (wrong !== undefined) return abort(state, wrong.code, `the result of the round: ${wrong.reason}`)
  const origin = { round: parent.round + 1, parent: parent.version, contributors: [...chosen.keys()].sort() }
  const lineage = { version: versionOf(taskHash, origin, weights), ...origin }
  return {
    state: { ...state, phase: 'adopt', lineage, endsAt: deadlineOf(state, 'adopt') },
    effects: [{ kind: 'adopt', weights, lineage }],
  }
}

function refuse(state: RoundState, refusal: Refusal): RoundStep {
  return { state, effects: [], refusal }
}

function tooFew(state: RoundState, what: string): RoundStep {
  return abort(state, 'ROUND_TOO_FEW', `${what}, and the quorum is ${state.config.task.quorum}`)
}

/** Ends here, and tells the members, so that they neither wait for this peer nor count what it said to hold. */
function abort(state: RoundState, code: FederatedErrorCode, reason: string): RoundStep {
  const leave: RoundEffect = { kind: 'send-set', to: others(state), step: 'leave', set: new Map() }
  const ended = end(state, { kind: 'aborted', code, reason })
  const stop: RoundEffect[] = state.phase === 'exchange' ? [{ kind: 'stop-training' }] : []
  return { state: ended.state, effects: [...stop, leave, ...ended.effects] }
}

function end(state: RoundState, outcome: RoundOutcome): RoundStep {
  return { state: { ...state, phase: 'ended', outcome }, effects: [{ kind: 'end', outcome }] }
}

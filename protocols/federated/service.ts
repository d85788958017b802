// Federated rounds on a network: hears the members, opens and joins attempts, and keeps up with what others have reached.
import { messageOf } from '../../core/errors.ts'
import { type Startable, Tasks } from '../../core/lifecycle.ts'
import { serve } from '../kit/request.ts'
import type { PeerKey } from '../kit/types.ts'
import { Attempt } from './attempt.ts'
import { Heads } from './heads.ts'
import { taskHash } from './lineage.ts'
import { type Answer, type Commit, commitShape, type Ready, readyShape, setOf } from './messages.ts'
import { FL_COMMIT, FL_MODEL, FL_READY, FL_UPDATE, HEAD_INTERVAL_MS, MAX_HISTORY, MAX_VIEW } from './protocol.ts'
import { refusalOf } from './round-key.ts'
import type { Refusal, RoundEvent, RoundKey, RoundState } from './round-types.ts'
import { modelHandler, refusal, updateHandler } from './streams.ts'
import type { FederatedInit, FederatedStatus, RoundRecord } from './types.ts'

/** What exists only between `start` and `stop`. */
interface Started {
  readonly tasks: Tasks
  readonly heads: Heads
  readonly closers: (() => Promise<void> | void)[]
}

/** New runs that make a round due by itself. */
const MIN_FRESH = 5
const INTERVAL_MS = 60_000

const NO_ROUND: Refusal = { code: 'ROUND_NONE', reason: 'this peer is in no round' }

export class FederatedService implements Startable {
  readonly #init: FederatedInit
  readonly #task: string
  readonly #history: RoundRecord[] = []
  #started: Started | undefined
  #attempt: Attempt | undefined
  /** The next attempt at the round after `parent`. */
  #next = { parent: '', view: 0 }

  constructor(init: FederatedInit) {
    this.#init = init
    this.#task = taskHash(init.participant.task)
  }

  async start(): Promise<void> {
    if (this.#started !== undefined) return
    const { log } = this.#init
    const tasks = new Tasks({ onError: (error, name) => log.error('%s: %s', name, messageOf(error)) })
    const heads = new Heads({
      ...this.#init,
      taskHash: this.#task,
      tasks,
      idle: async () => this.#attempt?.ended,
      onBehind: ({ version }) => this.#giveUpGathering(`version ${version.slice(0, 8)} is later and is fetched first`),
    })
    const started: Started = { tasks, heads, closers: [] }
    this.#started = started
    try {
      await this.#listen(started)
    } catch (error) {
      await this.stop()
      throw error
    }
    for (const { peer } of this.#init.network.connected()) heads.compare(peer)
    this.#schedule(started)
  }

  async stop(): Promise<void> {
    const started = this.#started
    if (started === undefined) return
    this.#started = undefined
    this.#attempt?.feed({ kind: 'cancel', code: 'ROUND_ABORTED', reason: 'this peer stops' })
    for (const close of started.closers) await close()
    await started.tasks.stop()
  }

  /**
   * Opens a round now, or follows the one under way, and resolves with how it ended here: what happens in the mesh is in the
   * record, never a rejection. A peer that turns out to be behind fetches the later version first and tries again.
   * Rejects with `ROUND_ABORTED` when the service is not started.
   */
  async startRound(): Promise<RoundRecord> {
    for (let tries = 1; ; tries++) {
      await this.#started?.heads.fetching
      const started = this.#started
      if (started === undefined) throw refusal('ROUND_ABORTED', 'rounds are off on this peer: start the peer first')
      const attempt = this.#attempt ?? this.#open(started, { invite: this.#members(), view: 0 })
      const record = await attempt.ended
      if (record.code !== 'ROUND_BEHIND' || tries === 3) return record
    }
  }

  status(): FederatedStatus {
    const { round, version, contributors } = this.#init.participant.lineage()
    const last = this.#history.at(-1)
    return {
      round,
      version,
      contributors,
      ...(this.#attempt === undefined ? {} : { running: this.#attempt.state.phase }),
      ...(last === undefined ? {} : { last }),
      history: [...this.#history],
    }
  }

  async #listen({ closers, heads }: Started): Promise<void> {
    const { network, participant } = this.#init
    const current = () => ({ version: participant.lineage().version, weights: participant.weights() })
    const ready = serve(readyShape, async (body, { peer }) => this.#onReady(peer, body))
    closers.push(await network.handle(FL_READY, ready))
    const update = updateHandler(
      participant.task,
      (peer, key) => this.#expect(peer, key),
      (peer, key, taken) => this.#feed({ kind: 'update', peer, key, update: taken }),
    )
    closers.push(await network.handle(FL_UPDATE, update))
    const commit = serve(commitShape, async (body, { peer }) => this.#onCommit(peer, body))
    closers.push(await network.handle(FL_COMMIT, commit))
    closers.push(await network.handle(FL_MODEL, modelHandler(this.#task, current)))
    closers.push(
      network.onChange((peer, connected) => {
        if (connected) heads.compare(peer)
        else this.#attempt?.feed({ kind: 'gone', peer })
      }),
    )
  }

  #schedule({ tasks, heads }: Started): void {
    const { clock, random, participant, intervalMs = INTERVAL_MS, minFresh = MIN_FRESH } = this.#init
    // A quarter more or less, so that peers do not fall into step.
    const jittered = (ms: number) => () => ms * (0.75 + random.next() / 2)
    tasks.every('heads', clock, jittered(HEAD_INTERVAL_MS), async () => {
      const members = this.#members()
      const chosen = members[random.int(members.length)]
      if (chosen !== undefined) heads.compare(chosen)
    })
    if (intervalMs <= 0) return
    tasks.every('rounds', clock, jittered(intervalMs), async () => {
      const enough = this.#members().length + 1 >= participant.task.quorum
      if (enough && participant.available().fresh >= minFresh) await this.startRound()
    })
  }

  #members(): PeerKey[] {
    return this.#init.members().filter((peer) => peer !== this.#init.network.self)
  }

  #open(
    { tasks, heads }: Started,
    init: { readonly invite: readonly PeerKey[]; readonly view: number; readonly gatherMs?: number },
  ): Attempt {
    const parent = this.#init.participant.lineage().version
    if (this.#next.parent !== parent) this.#next = { parent, view: 0 }
    const attempt = new Attempt({
      ...this.#init,
      ...init,
      view: Math.max(init.view, this.#next.view),
      taskHash: this.#task,
      tasks,
      heard: (peer, head) => heads.hear(peer, head),
      onEnd: (record, state) => this.#onEnd(record, state, heads),
    })
    this.#attempt = attempt
    attempt.begin()
    return attempt
  }

  #onEnd(record: RoundRecord, state: RoundState, heads: Heads): void {
    this.#attempt = undefined
    // Beyond the last one nobody would take our word for it: then the attempts share a number.
    this.#next = { parent: state.config.parent.version, view: Math.min(state.view + 1, MAX_VIEW) }
    this.#history.push(record)
    if (this.#history.length > MAX_HISTORY) this.#history.shift()
    const what = record.reason ?? `${record.contributors} contributors`
    this.#init.log('round %d %s: %s', record.round, record.outcome, what)
    if (record.outcome === 'committed') heads.spread(state.group)
  }

  #giveUpGathering(reason: string): void {
    if (this.#attempt?.state.phase === 'gather') this.#attempt.feed({ kind: 'cancel', code: 'ROUND_BEHIND', reason })
  }

  #onReady(peer: PeerKey, body: Ready): Answer {
    const { participant } = this.#init
    const started = this.#started
    if (body.task !== this.#task || started === undefined)
      throw refusal('ROUND_OTHER_TASK', 'this peer trains another task, or another version of it')
    started.heads.hear(peer, body.head)
    const head = participant.lineage()
    const no: Answer = { joined: false, view: this.#attempt?.state.view ?? 0, head }
    if (body.kind === 'head' || body.head.version !== head.version) return no
    const { view } = body
    const able = participant.available().samples > 0 && started.heads.fetching === undefined
    if (this.#attempt === undefined && !able) return no
    const invite = [peer, ...this.#members()]
    const attempt = this.#attempt ?? this.#open(started, { invite, view, gatherMs: body.closesInMs })
    const key: RoundKey = { task: body.task, round: body.head.round + 1, parent: body.head.version, view }
    const refused = attempt.feed({ kind: 'ready', peer, key, closesInMs: body.closesInMs })
    return { joined: refused === undefined, view: attempt.state.view, head }
  }

  #onCommit(peer: PeerKey, body: Commit): Record<string, never> {
    const { step, set: _, ...key } = body
    if (step === 'leave') this.#feed({ kind: 'leave', peer, key })
    else this.#feed({ kind: 'set', peer, key, step, set: setOf(body) })
    return {}
  }

  /** Refuses by its header an update that the round under way has no use for. */
  #expect(peer: PeerKey, key: RoundKey): void {
    const refused = this.#attempt === undefined ? NO_ROUND : refusalOf(this.#attempt.state, peer, key)
    if (refused !== undefined) throw refusal(refused.code, refused.reason)
  }

  #feed(event: RoundEvent): void {
    const refused = this.#attempt === undefined ? NO_ROUND : this.#attempt.feed(event)
    if (refused !== undefined) throw refusal(refused.code, refused.reason)
  }
}

// One attempt at a round on real streams: performs what the machine wants, and feeds it what comes of it.
import type { Timer } from '../../core/clock.ts'
import { isCoded, messageOf } from '../../core/errors.ts'
import { abortable, deadline, type Tasks } from '../../core/lifecycle.ts'
import { request } from '../kit/request.ts'
import type { PeerKey } from '../kit/types.ts'
import { checkTensor, type Update, updateOf } from './average.ts'
import { type Answer, answerShape, commitMessage, nothingShape, type Ready } from './messages.ts'
import { DEADLINES, FL_COMMIT, FL_READY, FL_UPDATE } from './protocol.ts'
import { openRound, step } from './round.ts'
import { keyOf } from './round-key.ts'
import type { Refusal, RoundEffect, RoundEvent, RoundOutcome, RoundState, RoundStep } from './round-types.ts'
import { refusal, sendUpdate } from './streams.ts'
import type { FederatedInit, Lineage, RoundRecord } from './types.ts'

export interface AttemptInit extends FederatedInit {
  readonly taskHash: string
  readonly tasks: Tasks
  readonly view: number
  /** Whom to ask. */
  readonly invite: readonly PeerKey[]
  /** What is left of the gathering of whoever asked us first. */
  readonly gatherMs?: number
  readonly heard: (peer: PeerKey, head: Lineage) => void
  readonly onEnd: (record: RoundRecord, state: RoundState) => void
}

type Send = (init: { readonly signal: AbortSignal }) => Promise<unknown>

export class Attempt {
  readonly #init: AttemptInit
  readonly #training = new AbortController()
  readonly #lossBefore: number | undefined
  readonly #ended = Promise.withResolvers<RoundRecord>()
  #lossLocal: number | undefined
  #state: RoundState
  #timer: Timer | undefined
  readonly #first: RoundStep

  constructor(init: AttemptInit) {
    this.#init = init
    const { participant, network, clock, taskHash, view, invite, gatherMs } = init
    const weights = participant.weights()
    const config = {
      task: participant.task,
      taskHash,
      self: network.self,
      parent: participant.lineage(),
      weights,
      deadlines: init.deadlines ?? DEADLINES,
    }
    this.#lossBefore = participant.evaluate(weights)
    this.#first = openRound(
      config,
      { view, members: invite, ...(gatherMs === undefined ? {} : { gatherMs }) },
      clock.mono(),
    )
    this.#state = this.#first.state
  }

  get state(): RoundState {
    return this.#state
  }

  /** How it ended; never rejects. */
  get ended(): Promise<RoundRecord> {
    return this.#ended.promise
  }

  begin(): void {
    this.#apply(this.#first)
  }

  /** What the machine refuses changes nothing, and is returned. */
  feed(event: RoundEvent): Refusal | undefined {
    const result = step(this.#state, event, this.#init.clock.mono())
    if (result.refusal === undefined) this.#apply(result)
    return result.refusal
  }

  #apply({ state, effects }: RoundStep): void {
    const { clock } = this.#init
    this.#state = state
    this.#timer?.cancel()
    if (state.phase !== 'ended')
      this.#timer = clock.after(Math.max(state.endsAt - clock.mono(), 0), () => void this.feed({ kind: 'tick' }))
    for (const effect of effects) this.#perform(effect)
  }

  #perform(effect: RoundEffect): void {
    const { network, tasks } = this.#init
    switch (effect.kind) {
      case 'ask':
        for (const peer of effect.to) this.#ask(peer, effect.view, effect.closesInMs)
        return
      case 'train':
        tasks.run('training', (signal) => this.#train(signal))
        return
      case 'stop-training':
        this.#training.abort(refusal('ROUND_TRAINING_FAILED', 'training took longer than the round allows'))
        return
      case 'send-update': {
        const key = keyOf(this.#state)
        this.#tell(effect.to, FL_UPDATE.streamTimeoutMs, (peer, init) =>
          sendUpdate(network, peer, key, effect.update, init),
        )
        return
      }
      case 'send-set': {
        const message = commitMessage(keyOf(this.#state), effect.step, effect.set)
        this.#tell(effect.to, FL_COMMIT.streamTimeoutMs, (peer, init) =>
          request(network, peer, FL_COMMIT, message, nothingShape, init),
        )
        return
      }
      case 'adopt':
        tasks.run('adopting', () => this.#adopt(effect.weights, effect.lineage))
        return
      case 'end':
        this.#end(effect.outcome)
        return
    }
  }

  #ask(peer: PeerKey, view: number, closesInMs: number): void {
    const { network, participant, taskHash, tasks, log } = this.#init
    const bucket = Math.floor(Math.log2(Math.max(participant.available().samples, 1)))
    const ready: Ready = { kind: 'ready', task: taskHash, head: this.#state.config.parent, view, closesInMs, bucket }
    tasks.run('asking', async (signal) => {
      let answer: Pick<Answer, 'joined' | 'view'> = { joined: false, view }
      try {
        const init = { signal: deadline(FL_READY.streamTimeoutMs, signal) }
        const heard = await request(network, peer, FL_READY, ready, answerShape, init)
        this.#init.heard(peer, heard.head)
        answer = heard
      } catch (error) {
        log.trace('%s did not answer to a round: %s', peer, messageOf(error))
      }
      // When everybody was asked again meanwhile, only the answer to the latest question counts.
      if (this.#state.view === view || answer.view > this.#state.view)
        this.feed({ kind: 'answered', peer, joined: answer.joined, view: answer.view })
    })
  }

  /** Sends something of the round to members; one that cannot be reached is no longer waited for. */
  #tell(
    to: readonly PeerKey[],
    timeoutMs: number,
    send: (peer: PeerKey, init: Parameters<Send>[0]) => Promise<unknown>,
  ) {
    for (const peer of to)
      this.#init.tasks.run('telling', async (signal) => {
        try {
          await send(peer, { signal: deadline(timeoutMs, signal) })
        } catch (error) {
          if (signal.aborted) return
          this.#init.log.trace('%s took no part of a round: %s', peer, messageOf(error))
          if (isCoded(error, 'PEER_UNREACHABLE', 'STREAM_RESET')) this.feed({ kind: 'gone', peer })
        }
      })
  }

  async #train(signal: AbortSignal): Promise<void> {
    const { participant, log } = this.#init
    const { task, weights, parent } = this.#state.config
    let update: Update | undefined
    try {
      const stop = AbortSignal.any([signal, this.#training.signal])
      const own = await abortable(participant.contribute(stop), stop)
      if (own !== undefined && own.samples >= 1) {
        const { delta } = own
        checkTensor(task, delta)
        this.#lossLocal = participant.evaluate(weights.map((value, k) => value + (delta[k] ?? 0)))
        update = updateOf(delta, Math.min(Math.floor(own.samples), task.weightCap))
      }
    } catch (error) {
      if (!signal.aborted) log.error('this peer has no part in round %d: %s', parent.round + 1, messageOf(error))
    }
    this.feed({ kind: 'trained', update })
  }

  async #adopt(weights: Float32Array, lineage: Lineage): Promise<void> {
    try {
      await this.#init.participant.adopt(weights, lineage)
    } catch (error) {
      this.feed({ kind: 'adopt-failed', reason: messageOf(error) })
      return
    }
    this.feed({ kind: 'adopted' })
  }

  #end({ kind, lineage, code, reason }: RoundOutcome): void {
    const { participant, clock } = this.#init
    const lossAfter = lineage === undefined ? undefined : participant.evaluate(participant.weights())
    const record: RoundRecord = {
      round: this.#state.config.parent.round + 1,
      outcome: kind,
      contributors: lineage?.contributors.length ?? 0,
      ...(this.#lossBefore === undefined ? {} : { lossBefore: this.#lossBefore }),
      ...(this.#lossLocal === undefined ? {} : { lossLocal: this.#lossLocal }),
      ...(lossAfter === undefined ? {} : { lossAfter }),
      ...(code === undefined ? {} : { code }),
      ...(reason === undefined ? {} : { reason }),
      at: clock.now(),
    }
    this.#init.onEnd(record, this.#state)
    this.#ended.resolve(record)
  }
}

// Keeps this peer at the best version it has heard of: compares heads, fetches weights from a holder, tells of new ones.
import { isCoded, messageOf } from '../../core/errors.ts'
import { deadline, type Tasks } from '../../core/lifecycle.ts'
import { shuffled } from '../../core/random.ts'
import { request } from '../kit/request.ts'
import type { PeerKey } from '../kit/types.ts'
import { supersedes } from './lineage.ts'
import { answerShape, type Ready } from './messages.ts'
import { FETCH_TIMEOUT_MS, FL_READY, MAX_FALSE, MAX_TOLD } from './protocol.ts'
import { fetchModel } from './streams.ts'
import type { FederatedInit, Lineage } from './types.ts'

export interface HeadsInit extends FederatedInit {
  readonly taskHash: string
  readonly tasks: Tasks
  /** Called at once when a better version than ours is heard of. */
  readonly onBehind: (head: Lineage) => void
  /** Resolves when no round is under way: a round is never pulled away from under its own parent. */
  readonly idle: () => Promise<unknown>
}

export class Heads {
  readonly #init: HeadsInit
  #wanted: { readonly peer: PeerKey; readonly head: Lineage } | undefined
  #fetching: Promise<void> | undefined
  /** What a peer said to have and sent something else for: one that lies, or is broken, may stop no round for ever. */
  readonly #false = new Set<string>()

  constructor(init: HeadsInit) {
    this.#init = init
  }

  /** Resolves when nothing better that was heard of is still to be fetched; undefined when that is so already. */
  get fetching(): Promise<void> | undefined {
    return this.#fetching
  }

  /** `peer` holds `head`. */
  hear(peer: PeerKey, head: Lineage): void {
    const best = this.#wanted?.head ?? this.#init.participant.lineage()
    // Version 0 is everybody's from the start.
    if (head.round === 0 || !supersedes(head, best) || this.#false.has(`${peer} ${head.version}`)) return
    this.#wanted = { peer, head }
    this.#init.onBehind(head)
    if (this.#fetching !== undefined) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#fetching = promise
    this.#init.tasks.run('fetching a version', async (signal) => {
      try {
        await this.#catchUp(signal)
      } finally {
        this.#fetching = undefined
        this.#wanted = undefined
        resolve()
      }
    })
  }

  /** Tells `peer` our head and hears its own. */
  compare(peer: PeerKey): void {
    const { network, participant, taskHash, tasks, log } = this.#init
    const message: Ready = { kind: 'head', task: taskHash, head: participant.lineage() }
    tasks.run('comparing heads', async (signal) => {
      try {
        const init = { signal: deadline(FL_READY.streamTimeoutMs, signal) }
        const { head } = await request(network, peer, FL_READY, message, answerShape, init)
        this.hear(peer, head)
      } catch (error) {
        if (!signal.aborted) log.trace('%s did not compare heads: %s', peer, messageOf(error))
      }
    })
  }

  /** Tells of a new version some of those who had no part in it. */
  spread(taken: ReadonlySet<PeerKey>): void {
    const { members, random } = this.#init
    const others = members().filter((peer) => !taken.has(peer))
    for (const peer of shuffled(others, random).slice(0, MAX_TOLD)) this.compare(peer)
  }

  async #catchUp(signal: AbortSignal): Promise<void> {
    const { network, participant, taskHash, log } = this.#init
    for (;;) {
      await this.#init.idle()
      const wanted = this.#wanted
      signal.throwIfAborted()
      if (wanted === undefined || !supersedes(wanted.head, participant.lineage())) return
      const { peer, head } = wanted
      try {
        const init = { signal: deadline(FETCH_TIMEOUT_MS, signal) }
        const weights = await fetchModel(network, peer, participant.task, taskHash, head, init)
        await this.#init.idle()
        if (supersedes(head, participant.lineage())) await participant.adopt(weights, head)
        log('now at version %s, round %d, from %s', head.version.slice(0, 8), head.round, peer)
      } catch (error) {
        if (signal.aborted) throw error
        log('version %s was not had from %s: %s', head.version.slice(0, 8), peer, messageOf(error))
        if (isCoded(error, 'MODEL_BAD_HASH', 'UPDATE_WRONG_SHAPE', 'UPDATE_NOT_FINITE')) {
          if (this.#false.size >= MAX_FALSE) this.#false.clear()
          this.#false.add(`${peer} ${head.version}`)
        }
        // Unless something better was heard meanwhile, the next comparison of heads tries again.
        if (this.#wanted === wanted) return
      }
    }
  }
}

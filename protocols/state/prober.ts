// Carries out one probe: a ping, then pings through others. Says what was seen; what it means is the detector's affair.
import type { Clock } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import { toCbor } from '../../core/shape.ts'
import { readReply, request } from '../kit/request.ts'
import type { Network, PeerKey } from '../kit/types.ts'
import type { DetectorEffect, ProbeOutcome } from './detector-types.ts'
import type { Stamp } from './merge.ts'
import { probeReplyShape } from './messages.ts'
import { PROBE_PROTOCOL, STALL_MS } from './protocol.ts'
import { within } from './within.ts'

export interface ProbeResult {
  readonly outcome: ProbeOutcome
  readonly silentHelpers: number
  /** Round trip of the direct ping, when it was answered. */
  readonly rttMs?: number
}

/** The failures that a dead peer causes; any other answer, a refusal included, was sent by someone alive. */
const SILENCE = ['PEER_UNREACHABLE', 'STREAM_RESET', 'STREAM_TIMEOUT', 'STREAM_ENDED']

/** Part of the wait that a helper may use, so that its "silent" is back before we stop listening. */
const HELPER_SHARE = 0.8

export async function probe(
  network: Network,
  clock: Clock,
  effect: DetectorEffect & { readonly kind: 'probe' },
  signal: AbortSignal,
): Promise<ProbeResult> {
  const { peer, helpers, timeoutMs, suspected } = effect
  const startMs = clock.mono()
  const rttMs = await ping(network, clock, peer, timeoutMs, signal, suspected)
  if (rttMs !== undefined) return { outcome: 'alive', silentHelpers: 0, rttMs }
  const answers = await askHelpers(network, clock, peer, helpers, timeoutMs, signal)
  if (answers.includes('alive')) return { outcome: 'alive', silentHelpers: 0 }
  // Far later than both waits together: we were stalled, and answers may lie unread in the socket.
  const stalled = clock.mono() - startMs > 2 * timeoutMs + STALL_MS
  return {
    outcome: stalled ? 'inconclusive' : 'dead',
    silentHelpers: answers.filter((answer) => answer === 'silent').length,
  }
}

/** Round trip in milliseconds, or undefined when the peer is silent. Rejects only when `signal` aborts. */
export async function ping(
  network: Network,
  clock: Clock,
  peer: PeerKey,
  timeoutMs: number,
  signal: AbortSignal,
  suspected?: Stamp,
): Promise<number | undefined> {
  let startMs = clock.mono()
  try {
    return await within(clock, timeoutMs, signal, async (inner) => {
      const stream = await network.open(peer, PROBE_PROTOCOL, { signal: inner })
      try {
        // From here on: opening may have dialled.
        startMs = clock.mono()
        await stream.send(toCbor({ kind: 'ping', suspected }), { signal: inner })
        const bytes = await stream.receive({ signal: inner })
        if (bytes === undefined) throw new CodedError('STREAM_ENDED', `${peer} closed a ping without an answer`)
        readReply(bytes, probeReplyShape, peer, PROBE_PROTOCOL)
        await stream.close()
        return clock.mono() - startMs
      } catch (error) {
        stream.abort(error instanceof Error ? error : new Error(messageOf(error)))
        throw error
      }
    })
  } catch (error) {
    signal.throwIfAborted()
    return isCoded(error) && !SILENCE.includes(error.code) ? clock.mono() - startMs : undefined
  }
}

type HelperAnswer = 'alive' | 'dead' | 'silent'

/** What each helper found; resolves with the first `alive` at once. */
async function askHelpers(
  network: Network,
  clock: Clock,
  target: PeerKey,
  helpers: readonly PeerKey[],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<HelperAnswer[]> {
  const body = { kind: 'ping-req', target, timeoutMs: Math.ceil(timeoutMs * HELPER_SHARE) }
  const ask = async (helper: PeerKey, inner: AbortSignal): Promise<HelperAnswer> => {
    try {
      const { alive } = await request(network, helper, PROBE_PROTOCOL, body, probeReplyShape, { signal: inner })
      return alive ? 'alive' : 'dead'
    } catch {
      return 'silent'
    }
  }
  return within(clock, 2 * timeoutMs, signal, async (outer) => {
    const first = Promise.withResolvers<HelperAnswer[]>()
    const all = helpers.map(async (helper) => {
      const answer = await within(clock, timeoutMs, outer, (inner) => ask(helper, inner)).catch(() => 'silent' as const)
      if (answer === 'alive') first.resolve(['alive'])
      return answer
    })
    return Promise.race([first.promise, Promise.all(all)])
  })
}

// A decision record in lines for people: what was chosen and why, what the others would have cost, who could not and why not.
import type { CandidateReport } from '../../protocols/placement/index.ts'
import { showMs } from './format.ts'
import type { ActualRun, DecisionRecord } from './record.ts'
import type { Decision, ExcludedPeer, RankedPeer } from './types.ts'

/** Lines of one decision, first line first. */
export function explain(record: DecisionRecord): readonly string[] {
  return [
    headline(record),
    ...record.ranked.map((ranked) => `  ${costLine(ranked)}${answerOf(record, ranked.peer)}`),
    ...exclusionLines(record).map((line) => `  ${line}`),
    ...(record.unlisted > 0 ? [`  ${record.unlisted} more peers could not take it, for the same reasons`] : []),
    ...(record.unconsidered > 0 ? [`  ${record.unconsidered} more peers could take it and were not looked at`] : []),
    ...(record.actual === undefined ? [] : [actualLine(record, record.actual)]),
  ]
}

/** One line for each reason: how many of all peers, the reason, then who. */
export function exclusionLines(
  decision: Pick<Decision, 'ranked' | 'excluded' | 'unconsidered'> & { readonly peers?: number },
): string[] {
  const all = decision.peers ?? decision.ranked.length + decision.excluded.length + decision.unconsidered
  const groups = Map.groupBy(decision.excluded, (peer) => peer.reason)
  return [...groups].map(
    ([reason, peers]) =>
      `${peers.length} of ${all} ${all === 1 ? 'peer' : 'peers'}: ${reason}: ${peers.map(who).join(', ')}`,
  )
}

function headline(record: DecisionRecord): string {
  const what = record.kind === 'move' ? 'moved to' : 'placed on'
  const nameOf = (peer: string): string => record.ranked.find((ranked) => ranked.peer === peer)?.name ?? peer
  if (record.placed !== undefined) {
    const { peer, costMs } = record.placed
    const first = record.ranked[0]
    const choice = first?.peer === peer ? 'first choice' : `instead of ${first?.name ?? 'nobody'}`
    const { margin } = record
    const by = margin === undefined ? 'the only candidate' : `${showMs(margin.ms)} before ${nameOf(margin.over)}`
    const how = first?.peer === peer ? `${choice}, ${by}` : choice
    return `${what} ${nameOf(peer)}: ${showMs(costMs)} predicted by ${record.decidedBy}; ${how}`
  }
  if (record.failed !== undefined) return `not placed: ${record.failed}`
  const best = record.ranked[0]
  return best === undefined
    ? 'no peer can take it'
    : `best is ${best.name}: ${showMs(best.totalMs)} by ${record.decidedBy}`
}

function costLine({ name, totalMs, cost, prediction }: RankedPeer): string {
  const parts = [
    `${showMs(cost.rttMs)} round trip`,
    `${showMs(cost.fetchMs)} fetch`,
    `${showMs(cost.waitMs)} wait`,
    `${showMs(cost.runMs)} run`,
  ]
  const basis = prediction.basis === undefined ? prediction.by : `${prediction.by} from ${prediction.basis}`
  return `${name}: ${showMs(totalMs)} = ${parts.join(' + ')} (${basis})`
}

function answerOf(record: DecisionRecord, peer: string): string {
  const report = record.candidates?.find((candidate) => candidate.peer === peer)
  return report === undefined ? '' : `: ${answer(report)}`
}

function answer(report: CandidateReport): string {
  const offered = report.costMs === undefined ? '' : ` at ${showMs(report.costMs)} with its backlog`
  switch (report.outcome) {
    case 'chosen':
      return `chosen${offered}`
    case 'outbid':
      return `bid${offered}, another was cheaper`
    case 'unasked':
      return 'not asked, it was not needed'
    case 'expired':
      return 'its reservation ran out before its turn came'
    case 'refused':
      return `refused, ${report.reason ?? 'no reason given'} [${report.code ?? 'no code'}]`
    case 'unreachable':
      return `unreachable, ${report.reason ?? 'no reason given'}`
    case 'unanswered':
      return report.reason ?? 'no answer in time'
  }
}

function actualLine(record: DecisionRecord, actual: ActualRun): string {
  const predicted = record.placed?.predictedMs
  if (actual.outcome !== 'finished' || actual.ms === undefined) return `it ${ended(actual.outcome)}`
  if (predicted === undefined || predicted <= 0) return `it ran ${showMs(actual.ms)}`
  const ratio = actual.ms / predicted
  const off =
    ratio >= 1 ? `${ratio.toFixed(2)} times the prediction` : `${(ratio * 100).toFixed(0)} % of the prediction`
  return `it ran ${showMs(actual.ms)}, ${showMs(predicted)} were predicted: ${off}`
}

function ended(outcome: ActualRun['outcome']): string {
  if (outcome === 'lost') return 'was lost with its host'
  return outcome === 'stopped' ? 'was stopped' : outcome === 'moved' ? 'moved on' : outcome
}

function who({ name, detail }: ExcludedPeer): string {
  return detail === undefined ? name : `${name} (${detail})`
}

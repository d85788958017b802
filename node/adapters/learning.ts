// What this peer learns from: the runs it hosted, and for the heuristic also those it had placed elsewhere.

import type { Logger } from '@libp2p/interface'
import { decode, encode } from 'cborg'
import type { Clock } from '../../core/clock.ts'
import type { PlacementModel } from '../../fl/index.ts'
import { type CellManifest, inputBytesOf } from '../../protocols/placement/index.ts'
import type { MeshView } from '../../protocols/state/index.ts'
import type { CellRecord } from '../cells/cell-record.ts'
import type { ModuleFactsCache } from '../cells/module-facts.ts'
import type { FinishedRun, RecordStore } from '../cells/types.ts'
import { type CellFacts, type ObservedRun, type PeerFacts, SpecCost, type SpecCostState } from '../decide/index.ts'
import { cellFeaturesOf, peerFeaturesOf } from './chooser.ts'
import { factsOf } from './mesh-facts.ts'

const KEY = 'spec-cost'

export interface LearningInit {
  readonly model: PlacementModel
  readonly heuristic: SpecCost
  readonly view: MeshView
  readonly facts: ModuleFactsCache
  readonly records: RecordStore
  readonly clock: Clock
  readonly log: Logger
}

export class Learning {
  readonly #init: LearningInit
  #turn: Promise<unknown> = Promise.resolve()

  constructor(init: LearningInit) {
    this.#init = init
  }

  /** A run that ended here. Moved runs saw more than one machine and teach nothing about either. */
  hosted(run: FinishedRun): void {
    const self = this.#self()
    if (run.moved || self === undefined || run.wallMs <= 0) return
    const { manifest, opcodeFeatures, inputBytes, wallMs: ms } = run
    const peer = { ...self, running: Math.max(0, Math.round(run.occupancy * (self.slots ?? 1)) - 1) }
    const { model, heuristic, clock } = this.#init
    const { args, moduleBytes } = manifest
    const heuristicMs = heuristic.predict(cellFacts(manifest, opcodeFeatures, inputBytes), self).ms
    const cell = cellFeaturesOf({ opcodeFeatures, moduleBytes, inputBytes }, args)
    this.#own(async () => {
      await model.record({ cell, peer: peerFeaturesOf(peer), ms, heuristicMs, at: clock.now() })
      await this.#observe({ module: manifest.module, inputBytes, opcodeFeatures, ms, host: self })
    })
  }

  /** A cell of this peer that ran elsewhere, as far as the owner is told: its own time. */
  placed(record: CellRecord, manifest: CellManifest): void {
    const host = record.inbox === undefined ? undefined : this.#init.view.get(record.inbox.host)
    const moved = record.moves.some((move) => move.outcome === 'moved')
    if (record.phase !== 'finished' || moved || host === undefined || host.self || record.usage === undefined) return
    const opcodeFeatures = this.#init.facts.peek(manifest.module)?.opcodeFeatures ?? []
    const { wallMs: ms } = record.usage
    const inputBytes = inputBytesOf(manifest)
    this.#own(() => this.#observe({ module: manifest.module, inputBytes, opcodeFeatures, ms, host: factsOf(host) }))
  }

  async #observe(run: ObservedRun): Promise<void> {
    this.#init.heuristic.observe(run)
    await this.#init.records.put(KEY, encode(this.#init.heuristic.state()))
  }

  #self(): PeerFacts | undefined {
    const self = this.#init.view.peers().find((member) => member.self)
    return self === undefined ? undefined : factsOf(self)
  }

  /** One after the other, so that samples are numbered in the order they came. */
  #own(work: () => Promise<void>): void {
    this.#turn = this.#turn
      .then(work)
      .catch((error: unknown) => this.#init.log.error('a run was not learned from: %e', error))
  }

  async settled(): Promise<void> {
    await this.#turn
  }
}

/** The heuristic with what an earlier life of this peer has seen. */
export async function loadHeuristic(
  records: RecordStore,
  own: () => Pick<PeerFacts, 'calibration' | 'fuelShare'>,
): Promise<SpecCost> {
  const bytes = await records.get(KEY)
  return new SpecCost(own, bytes === undefined ? undefined : (decode(bytes) as SpecCostState))
}

function cellFacts(manifest: CellManifest, opcodeFeatures: readonly number[], inputBytes: number): CellFacts {
  const { module, moduleBytes, args, constraints, limits } = manifest
  const { memoryBytes, diskBytes } = limits
  return { cell: '', module, moduleBytes, inputBytes, memoryBytes, diskBytes, constraints, opcodeFeatures, args }
}

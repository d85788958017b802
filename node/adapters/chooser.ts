// Decisions fitted to the cells of this peer: the view of the mesh, the predictor in charge, and what was placed lately.
import type { Clock } from '../../core/clock.ts'
import type { Random } from '../../core/random.ts'
import { argumentFeatures, type CellFeatures, type PeerFeatures, type PlacementModel } from '../../fl/index.ts'
import type { PeerKey } from '../../protocols/kit/types.ts'
import type { Ask, CellManifest } from '../../protocols/placement/index.ts'
import type { MeshView } from '../../protocols/state/index.ts'
import type { Choice, ChoiceInit, Chooser } from '../cells/types.ts'
import {
  type CellFacts,
  candidatesOf,
  decide,
  type PeerFacts,
  type Predictor,
  Recent,
  recordOf,
  type SpecCost,
} from '../decide/index.ts'
import { factsOf } from './mesh-facts.ts'

export interface PlacementChooserInit {
  readonly view: Pick<MeshView, 'peers'>
  readonly model: PlacementModel
  readonly heuristic: SpecCost
  readonly clock: Clock
  readonly random: Random
}

export class PlacementChooser implements Chooser {
  readonly #init: PlacementChooserInit
  readonly #recent = new Recent()

  constructor(init: PlacementChooserInit) {
    this.#init = init
  }

  choose(ask: Ask, manifest: CellManifest, init: ChoiceInit = {}): Choice {
    const { view, clock, random } = this.#init
    const mesh = {
      at: clock.now(),
      peers: view.peers().map(factsOf),
      recent: (peer: string) => this.#recent.at(peer, clock.mono()),
    }
    const decision = decide(cellFactsOf(ask, manifest.args), mesh, this.predictor, random, init)
    const kind = init.exclude === undefined ? 'place' : 'move'
    return { candidates: candidatesOf(decision), decision: recordOf(decision, kind), later: decision.later }
  }

  placed(peer: PeerKey, predictedMs: number): void {
    this.#recent.note(peer, predictedMs, this.#init.clock.mono())
  }

  /** The model where it has beaten the heuristic on this peer's own runs, else the heuristic. */
  readonly predictor: Predictor = {
    predict: (cell, peer) => {
      const { model, heuristic } = this.#init
      if (model.verdict().decides === 'heuristic') return heuristic.predict(cell, peer)
      const ms = model.predict(cellFeaturesOf(cell, cell.args), peerFeaturesOf(peer))
      return { ms, by: 'model', basis: `version ${model.version.slice(0, 8)}, round ${model.round}` }
    },
  }
}

function cellFactsOf(ask: Ask, args: readonly string[]): CellFacts {
  const { cell, module, moduleBytes, inputBytes, memoryBytes, diskBytes, constraints } = ask
  return {
    cell,
    module,
    moduleBytes,
    inputBytes,
    memoryBytes,
    diskBytes,
    constraints,
    args,
    opcodeFeatures: ask.opcodeFeatures ?? [],
  }
}

export function cellFeaturesOf(
  cell: Pick<CellFacts, 'opcodeFeatures' | 'moduleBytes' | 'inputBytes'>,
  args: readonly string[],
): CellFeatures {
  const { opcodeFeatures: opcodes, moduleBytes, inputBytes } = cell
  return { opcodes, moduleBytes, inputBytes, ...argumentFeatures(args.slice(1)) }
}

export function peerFeaturesOf(peer: PeerFacts): PeerFeatures {
  const { calibration: calibrationMs, cores, running = 0, slots = 1, fuelShare } = peer
  return { calibrationMs, cores, running, slots, fuelShare }
}

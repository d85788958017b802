// Fits the placement model to the rounds: weights, differences and counts pass here, runs do not.
import type { PlacementModel } from '../../fl/index.ts'
import type { Participant, TaskDescriptor } from '../../protocols/federated/index.ts'
import type { PeerKey } from '../../protocols/kit/types.ts'

/** Two contributors make an average; a group is as large as all-to-all exchange allows; a busy peer counts as 500 runs at most. */
const PLACEMENT_TASK = { id: 'placement', quorum: 2, maxGroup: 16, weightCap: 500 } as const

export function placementParticipant(model: PlacementModel, self: PeerKey): Participant {
  const task: TaskDescriptor = { ...PLACEMENT_TASK, shape: model.shape, parameters: model.parameters }
  return {
    task,
    lineage: () => model.lineage,
    weights: () => model.weights,
    available: () => ({ samples: model.samples.training.length, fresh: model.fresh }),
    contribute: (signal) => model.train({ signal }),
    adopt: (weights, lineage) => model.adopt(weights, lineage, lineage.contributors.includes(self)),
    evaluate: (weights) => model.evaluate(undefined, weights)?.loss,
  }
}

// The model's own runs and weights in the peer's home. Runs are kept here and go nowhere.
import { decode, encode } from 'cborg'
import type { ModelStore, Sample, SampleStore, StoredModel } from '../../fl/index.ts'
import type { RecordStore } from '../cells/types.ts'

export function sampleStoreOn(records: RecordStore): SampleStore {
  const keyOf = (index: number): string => String(index).padStart(12, '0')
  return {
    load: async () => (await records.list()).map(([, bytes]) => decode(bytes) as Sample),
    put: (sample) => records.put(keyOf(sample.index), encode(sample, { ignoreUndefinedProperties: true })),
    delete: (index) => records.remove(keyOf(index)),
  }
}

const CURRENT = 'current'

export function modelStoreOn(records: RecordStore): ModelStore {
  return {
    async load(): Promise<StoredModel | undefined> {
      const bytes = await records.get(CURRENT)
      if (bytes === undefined) return undefined
      const { shape, lineage, weights } = decode(bytes) as Omit<StoredModel, 'weights'> & { weights: Uint8Array }
      return { shape, lineage, weights: new Float32Array(weights.slice().buffer) }
    },
    save({ shape, lineage, weights }) {
      const bytes = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength)
      return records.put(CURRENT, encode({ shape, lineage, weights: bytes }))
    },
  }
}

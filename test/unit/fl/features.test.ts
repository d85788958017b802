import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sha256Hex } from '../../../core/bytes.ts'
import { initialWeights, PARAMETERS, SHAPE_HASH } from '../../../fl/architecture.ts'
import {
  argumentFeatures,
  baseLnMs,
  type CellFeatures,
  FEATURE_COUNT,
  featureVector,
  type PeerFeatures,
} from '../../../fl/features.ts'
import { predictMs } from '../../../fl/predict.ts'

const cell: CellFeatures = { opcodes: [5, 6, 7], moduleBytes: 1e5, inputBytes: 1e3, argCount: 2, maxArgument: 100 }
const peer: PeerFeatures = {
  calibrationMs: { integer: 50, float: 60, stream: 40, calls: 55, hash: 45, branches: 50 },
  cores: 4,
  running: 1,
  slots: 4,
  fuelShare: 1,
}
const anyNumber = fc.double()

describe('features', () => {
  it('are finite, bounded and of fixed length, whatever a module or a record claims', () => {
    void fc.assert(
      fc.property(
        fc.record({
          opcodes: fc.array(anyNumber, { maxLength: 40 }),
          moduleBytes: anyNumber,
          inputBytes: anyNumber,
          argCount: anyNumber,
          maxArgument: anyNumber,
        }),
        fc.record({
          calibrationMs: fc.dictionary(fc.constantFrom('integer', 'hash', '__proto__', 'other'), anyNumber),
          cores: anyNumber,
          running: anyNumber,
          slots: anyNumber,
          fuelShare: anyNumber,
        }),
        (someCell, somePeer) => {
          const vector = featureVector(someCell, somePeer)
          expect(vector.length).toBe(FEATURE_COUNT)
          expect(vector.every((value) => Math.abs(value) <= 4)).toBe(true)
          const ms = predictMs(initialWeights(), someCell, somePeer)
          expect(Number.isFinite(ms) && ms > 0).toBe(true)
        },
      ),
    )
  })

  it('expect a peer that is twice as slow to take twice as long, before anything was learned', () => {
    const slow = Object.fromEntries(Object.entries(peer.calibrationMs).map(([name, ms]) => [name, ms * 2]))
    const ratio =
      predictMs(initialWeights(), cell, { ...peer, calibrationMs: slow }) / predictMs(initialWeights(), cell, peer)
    expect(ratio).toBeCloseTo(2, 6)
  })

  it('take a kernel that was not run as average, and know that it was not', () => {
    const { hash: _, ...five } = peer.calibrationMs
    const known = featureVector(cell, { ...peer, calibrationMs: { ...five, hash: Math.exp(meanLog(five)) } })
    const unknown = featureVector(cell, { ...peer, calibrationMs: five })
    const different = [...known].flatMap((value, k) => (Math.abs(value - (unknown[k] ?? 0)) > 1e-5 ? [k] : []))
    expect(different.length).toBe(1)
  })

  it('go by the share of fuel where nothing was calibrated', () => {
    const bare = { ...peer, calibrationMs: {} }
    expect(baseLnMs({ ...bare, fuelShare: 0.25 }) - baseLnMs(bare)).toBeCloseTo(Math.log(4), 9)
  })

  it('find the largest number among the arguments', () => {
    expect(argumentFeatures(['kv', '-n', '5000', '1e3', 'x9', '-7'])).toEqual({ argCount: 6, maxArgument: 5000 })
    expect(argumentFeatures([])).toEqual({ argCount: 0, maxArgument: 0 })
    expect(argumentFeatures(['9'.repeat(400)]).maxArgument).toBe(0)
  })
})

describe('version 0', () => {
  it('is the same on every peer: a change of it is a change of the task', () => {
    expect(initialWeights()).toEqual(initialWeights())
    expect(PARAMETERS).toBeLessThanOrEqual(5000)
    expect({ weights: sha256Hex(new Uint8Array(initialWeights().buffer)), shape: SHAPE_HASH }).toMatchInlineSnapshot(`
      {
        "shape": "478baf50920d86de336f0b3885f05df349e41075b15e059ebdad4366cc47d2a0",
        "weights": "3ab19e611147b2e0dffa564e5748ff074ffd6a7f78e41e456d05a907b4ff2889",
      }
    `)
  })
})

function meanLog(values: Readonly<Record<string, number>>): number {
  const logs = Object.values(values).map(Math.log)
  return logs.reduce((sum, value) => sum + value, 0) / logs.length
}

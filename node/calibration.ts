// The times of the calibration kernels: measured at the first start, kept while machine, Node and share stay the same.
import { cpus } from 'node:os'
import type { Logger } from '@libp2p/interface'
import { decode, encode } from 'cborg'
import { type CellEngine, calibrate } from '../cells/index.ts'
import { messageOf } from '../core/errors.ts'
import type { RecordStore } from './cells/types.ts'

const KEY = 'calibration'
/** Six kernels of 50 ms at a share of 1 %, and a slow start of the host process. */
const TIMEOUT_MS = 60_000

interface Kept {
  readonly of: string
  readonly times: Readonly<Record<string, number>>
}

/** Kernel name -> milliseconds; empty when they cannot be run here. */
export async function calibrationOf(
  engine: CellEngine,
  records: RecordStore,
  fuelShare: number,
  log: Logger,
): Promise<Readonly<Record<string, number>>> {
  const of = `${cpus()[0]?.model} ${process.version} ${fuelShare}`
  const bytes = await records.get(KEY)
  const kept = bytes === undefined ? undefined : (decode(bytes) as Kept)
  if (kept?.of === of) return kept.times
  try {
    const measured = await calibrate(engine, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    const times = Object.fromEntries(measured.map(({ name, ms }) => [name, ms]))
    await records.put(KEY, encode({ of, times }))
    return times
  } catch (error) {
    log.error('this peer cannot be calibrated: %s; its run times are guessed from its share of fuel', messageOf(error))
    return {}
  }
}

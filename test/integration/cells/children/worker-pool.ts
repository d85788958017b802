// Takes workers of a pool, two of which are being ended, and says whether any was given twice. A process of its own: threads that
// are ended as they start can take theirs along.
import { WorkerPool } from '../../../../cells/runtime/worker-pool.ts'
import { systemClock } from '../../../../core/clock.ts'

const pool = new WorkerPool(systemClock, 128)
const nobody = { onReport: () => undefined, onGone: () => undefined }
const first = await pool.take(nobody)
const waiting = pool.take(nobody)
first.terminate()
pool.giveBack(first)
const second = await waiting
const next = pool.take(nobody)
second.terminate()
const third = await next
process.send?.({ given: new Set([first, second, third]).size, terminated: third.isTerminated })

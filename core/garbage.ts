// The garbage collector, told when it does not disturb. V8 counts what buffers hold, so that moving bytes makes it mark the whole
// heap again and again, in steps and on threads of its own: long, where a program stands still meanwhile.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { systemClock, type Timer } from './clock.ts'

/** So long after a collection none begins in steps; longer, and the heap of an idle process would grow by half. */
const QUIET_MS = 5_000

let collect: (() => void) | undefined
let quiet: Timer | undefined

/** Collects all garbage of this thread at once, so that none has to be collected for some seconds. Blocks for some 20 ms. */
export function collectGarbage(): void {
  if (collect === undefined) {
    // What the flag lets a new context have, and the running ones have not.
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
    setFlagsFromString('--no-expose-gc')
  }
  collect()
  quiet?.cancel()
  setFlagsFromString('--no-incremental-marking')
  quiet = systemClock.after(QUIET_MS, () => setFlagsFromString('--incremental-marking'))
}

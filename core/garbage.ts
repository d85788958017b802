// The garbage collector, told when it does not disturb. V8 counts what buffers hold, so that moving bytes makes it collect the
// whole heap now and then, which takes 20 to 40 ms: long, where a program stands still meanwhile.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

let collect: (() => void) | undefined

/** Collects all garbage of this thread at once, so that none has to be collected soon. Blocks for some 20 ms. */
export function collectGarbage(): void {
  if (collect === undefined) {
    // What the flag lets a new context have, and the running ones have not.
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
    setFlagsFromString('--no-expose-gc')
  }
  collect()
}

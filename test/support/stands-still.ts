import { eventually } from './eventually.ts'

/** Waits until a count comes to a stop: the same, above one, seen many times over. */
export async function standsStill(count: () => number): Promise<void> {
  let still = 0
  let last = -1
  await eventually(() => {
    const now = count()
    still = now > 1 && now === last ? still + 1 : 0
    last = now
    return still > 10
  })
}

// What the memories or tables of one module may have together.

/** Hands out what is left of a cap: each item gets at least its minimum, and the first ones what they may grow to. */
export class Allowance {
  #left: number

  constructor(cap: number, minima: readonly number[]) {
    this.#left = cap - minima.reduce((sum, minimum) => sum + minimum, 0)
  }

  get exceeded(): boolean {
    return this.#left < 0
  }

  /** The maximum for an item that declares these limits. */
  grant(minimum: number, maximum: number | undefined): number {
    const granted = Math.min(maximum ?? Number.POSITIVE_INFINITY, minimum + this.#left)
    this.#left -= granted - minimum
    return granted
  }
}

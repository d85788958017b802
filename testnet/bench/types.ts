// What a bench is.

/** Figures by key; what each means stands in the bench's own file. */
export type Figures = Readonly<Record<string, number>>

/** Runs to its end by itself, leaves nothing behind, and prints what a person wants to see on the way. */
export interface Bench {
  /** What the figures mean. */
  readonly about: string
  run(seed: number): Promise<Figures>
}

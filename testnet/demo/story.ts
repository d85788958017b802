// The demo's way of telling: chapters, notes, and checks that are counted and decide the exit code.

export class Story {
  readonly #failed: string[] = []
  #checks = 0
  #chapter = 0

  chapter(title: string): void {
    this.#chapter++
    process.stdout.write(`\n== ${this.#chapter}. ${title}\n`)
  }

  say(...lines: readonly string[]): void {
    for (const line of lines) process.stdout.write(`   ${line}\n`)
  }

  /** Counts one check; the sentence says what must be true. */
  check(sentence: string, holds: boolean): void {
    this.#checks++
    if (!holds) this.#failed.push(sentence)
    process.stdout.write(`   ${holds ? '[holds]' : '[FAILS]'} ${sentence}\n`)
  }

  /** True when every check held so far. */
  get good(): boolean {
    return this.#failed.length === 0 && this.#checks > 0
  }

  /** Prints the verdict: the last line of all. */
  end(seconds: number): void {
    const held = this.#checks - this.#failed.length
    process.stdout.write(`\n`)
    for (const sentence of this.#failed) process.stdout.write(`did not hold: ${sentence}\n`)
    process.stdout.write(`${held} of ${this.#checks} checks held, in ${seconds.toFixed(0)} s\n`)
  }
}

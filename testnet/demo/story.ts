// The demo's way of telling: chapters, notes, and checks that are counted and decide the exit code.
import type { Clock, Timer } from '../../core/clock.ts'

/** How often a person at a terminal is shown that something still goes on. */
const TICK_MS = 1_000

export class Story {
  readonly #clock: Clock
  readonly #failed: string[] = []
  #checks = 0
  #chapter = 0
  #toldMs = 0
  #timer: Timer | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  chapter(title: string): void {
    this.#chapter++
    this.#tell(`\n== ${this.#chapter}. ${title}`)
  }

  say(...lines: readonly string[]): void {
    for (const line of lines) this.#tell(`   ${line}`)
  }

  /** Counts one check; the sentence says what must be true. */
  check(sentence: string, holds: boolean): void {
    this.#checks++
    if (!holds) this.#failed.push(sentence)
    this.#tell(`   ${holds ? '[holds]' : '[FAILS]'} ${sentence}`)
  }

  /** True when every check held so far. */
  get good(): boolean {
    return this.#failed.length === 0 && this.#checks > 0
  }

  /** Prints the verdict: the last line of all. */
  end(seconds: number): void {
    const held = this.#checks - this.#failed.length
    this.#tell('')
    for (const sentence of this.#failed) this.#tell(`did not hold: ${sentence}`)
    this.#tell(`${held} of ${this.#checks} checks held, in ${seconds.toFixed(0)} s`)
    this.#timer?.cancel()
  }

  #tell(line: string): void {
    const { isTTY } = process.stdout
    process.stdout.write(`${isTTY ? '\r\u001b[2K' : ''}${line}\n`)
    if (!isTTY) return
    this.#toldMs = this.#clock.mono()
    this.#timer?.cancel()
    this.#tick()
  }

  /** A line that the next one overwrites. */
  #tick(): void {
    this.#timer = this.#clock.after(TICK_MS, () => {
      process.stdout.write(`\r\u001b[2K   … ${Math.round((this.#clock.mono() - this.#toldMs) / 1000)} s`)
      this.#tick()
    })
  }
}

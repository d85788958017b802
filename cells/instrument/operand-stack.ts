// The types on the operand stack, bottom first, as the source function has them at the instruction at hand.

export class OperandStack {
  height = 0
  #types = new Uint8Array(64)

  /** Type at `height` from the bottom. */
  at(height: number): number {
    return this.#types[height] ?? 0
  }

  push(type: number): void {
    if (this.height === this.#types.length) {
      const more = new Uint8Array(this.height * 2)
      more.set(this.#types)
      this.#types = more
    }
    this.#types[this.height++] = type
  }

  pushAll(types: readonly number[]): void {
    for (const type of types) this.push(type)
  }
}

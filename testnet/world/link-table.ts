// Who has a link with whom: a hash table in one array, since a map per participant costs three cache misses where this costs one.

/** Whose, with whom, which end, and nothing. */
const FIELDS = 4
const PEER = 1
const END = 2
const EMPTY = -1
const FIRST_CAPACITY = 1 << 12

export class LinkTable {
  #all = emptyTable(FIRST_CAPACITY)
  #size = 0

  /** The own end of the link with `peer`; -1 where there is none. */
  find(own: number, peer: number): number {
    const at = this.#place(own, peer)
    return this.#all[at] === EMPTY ? -1 : (this.#all[at + END] as number)
  }

  set(own: number, peer: number, end: number): void {
    if (this.#size * FIELDS * 2 >= this.#all.length) this.#grow()
    const at = this.#place(own, peer)
    if (this.#all[at] === EMPTY) this.#size++
    this.#all[at] = own
    this.#all[at + PEER] = peer
    this.#all[at + END] = end
  }

  delete(own: number, peer: number): void {
    const all = this.#all
    let hole = this.#place(own, peer)
    if (all[hole] === EMPTY) return
    this.#size--
    // Those behind move up, unless that would put them before their place (Knuth, 6.4, algorithm R).
    for (let at = this.#next(hole); all[at] !== EMPTY; at = this.#next(at)) {
      const home = this.#home(all[at] as number, all[at + PEER] as number)
      const isBehind = hole < at ? home <= hole || home > at : home <= hole && home > at
      if (!isBehind) continue
      all.copyWithin(hole, at, at + FIELDS)
      hole = at
    }
    all[hole] = EMPTY
  }

  /** Where it is, or would be. */
  #place(own: number, peer: number): number {
    const all = this.#all
    let at = this.#home(own, peer)
    while (all[at] !== EMPTY && (all[at] !== own || all[at + PEER] !== peer)) at = this.#next(at)
    return at
  }

  #home(own: number, peer: number): number {
    let hash = Math.imul(own + 1, 0x9e3779b1) ^ Math.imul(peer + 1, 0x85ebca77)
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
    return ((hash ^ (hash >>> 13)) & (this.#all.length / FIELDS - 1)) * FIELDS
  }

  #next(at: number): number {
    return (at + FIELDS) & (this.#all.length - 1)
  }

  #grow(): void {
    const before = this.#all
    this.#all = emptyTable((2 * before.length) / FIELDS)
    for (let at = 0; at < before.length; at += FIELDS)
      if (before[at] !== EMPTY) {
        const own = before[at] as number
        this.#all.set(before.subarray(at, at + FIELDS), this.#place(own, before[at + PEER] as number))
      }
  }
}

function emptyTable(capacity: number): Int32Array {
  return new Int32Array(capacity * FIELDS).fill(EMPTY)
}

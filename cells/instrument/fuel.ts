// The counter of polls in a copy of a function: in its global, or in a local throughout a loop that makes no call.
import type { ByteWriter } from '../wasm/byte-writer.ts'
import { OP } from '../wasm/opcodes.ts'

export interface FuelInit {
  readonly w: ByteWriter
  /** The global. */
  readonly global: number
  /** An i32 for a moment. */
  readonly scratch: number
  readonly addLocal: () => number
}

export class Fuel {
  readonly #init: FuelInit
  #local: number | undefined
  /** Position, among the open levels, of the loop throughout which the counter is in the local. */
  #loop: number | undefined

  constructor(init: FuelInit) {
    this.#init = init
  }

  get inLocal(): boolean {
    return this.#loop !== undefined
  }

  /** Before the loop that is the level `position`. */
  enter(position: number): void {
    this.#loop = position
    this.#local ??= this.#init.addLocal()
    this.#init.w.op(OP.globalGet).u32(this.#init.global).op(OP.localSet).u32(this.#local)
  }

  /** Behind the end of the level `position`. */
  leave(position: number): void {
    if (this.#loop !== position) return
    this.store()
    this.#loop = undefined
  }

  /** True when a branch to the level `position` leaves the loop. */
  leftBy(position: number): boolean {
    return this.#loop !== undefined && position < this.#loop
  }

  /** Puts the counter where calls and other functions look for it. */
  store(): void {
    if (this.#loop === undefined || this.#local === undefined) return
    this.#init.w.op(OP.localGet).u32(this.#local).op(OP.globalSet).u32(this.#init.global)
  }

  /** Counts one, and leaves on the stack what is left. */
  emitCount(): void {
    const { w, global, scratch } = this.#init
    if (this.#loop !== undefined && this.#local !== undefined) {
      w.op(OP.localGet).u32(this.#local).op(OP.i32Const, 1, OP.i32Sub, OP.localTee).u32(this.#local)
      return
    }
    w.op(OP.globalGet).u32(global).op(OP.i32Const, 1, OP.i32Sub, OP.localTee).u32(scratch)
    w.op(OP.globalSet).u32(global).op(OP.localGet).u32(scratch)
  }

  /** Takes over what was granted: it is on the stack, and `again` of it is for a poll that is passed once more. */
  emitGranted(again: number): void {
    const { w } = this.#init
    if (this.#loop === undefined || this.#local === undefined) {
      w.op(OP.drop)
      return
    }
    if (again > 0) w.op(OP.i32Const, again, OP.i32Add)
    w.op(OP.localSet).u32(this.#local)
  }
}

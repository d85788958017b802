// In the host process: makes parts of what a cell's thread hands over, and answers of the parts.
import { hostMono } from '../../core/clock.ts'
import { SnapshotWriter } from '../snapshot/snapshot.ts'
import type { WorkerReport } from './messages.ts'

export type MaterialReport = Extract<WorkerReport, { kind: 'material' }>

export class PartPress {
  #writer = new SnapshotWriter()
  #snapshot = 0
  /** Parts of a suspension that is under way. */
  #last: Promise<Uint8Array>[] = []

  /** What to answer; undefined when more material for the same answer is to come. */
  async add({ snapshot, material, last }: MaterialReport): Promise<unknown> {
    if (snapshot !== this.#snapshot) {
      this.#writer = new SnapshotWriter()
      this.#snapshot = snapshot
      this.#last = []
    }
    const part = this.#writer.add(material)
    if (last === undefined) return { part: await part }
    this.#last.push(part)
    if (last === 'more') return undefined
    const parts = await Promise.all(this.#last.splice(0))
    return { parts, ...last, packMs: hostMono() - last.stoppedAt }
  }
}

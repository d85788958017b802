// Entry of the process of one cell on Wasmer's runtime: same walls as a cell host process, same words to the peer. It ends
// with its cell, which is how the cell is killed. Loaded by nothing else, so that a peer without such cells pays nothing.
import { systemClock } from '../../core/clock.ts'
import { isCoded, messageOf } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import type { CellUsage } from '../types.ts'
import { bounded, type HostCommand, type ReportedExit } from './messages.ts'
import { notMigratable } from './untouched-program.ts'
import { WasixProgram } from './wasix-program.ts'

type Start = Extract<HostCommand, { kind: 'start' }>

class WasixHost {
  #cell = 0
  #program: WasixProgram | undefined

  listen(): void {
    process.on('message', (command: HostCommand) => {
      this.#handle(command).catch((error: unknown) => {
        const code = isCoded(error) ? error.code : 'CELL_HOST_DIED'
        void this.#send({ kind: 'failed', seq: command.seq, code, message: bounded(messageOf(error)) })
      })
    })
    process.on('disconnect', () => process.exit(0))
  }

  /** Resolves once it has left the process: whoever awaits it sends no faster than the peer reads. */
  #send(report: object): Promise<void> {
    return new Promise((resolve) => process.send?.(report, undefined, undefined, () => resolve()))
  }

  async #handle(command: HostCommand): Promise<void> {
    const { seq } = command
    if (command.kind === 'start') return this.#start(command)
    if (command.kind === 'usage') return this.#send({ kind: 'done', seq, value: this.#usage() })
    if (command.kind !== 'cell' || command.command.kind !== 'read-file') throw notMigratable()
    const bytes = await this.#program?.readFile(command.command.path)
    return this.#send({ kind: 'done', seq, value: bytes === undefined ? {} : { bytes } })
  }

  async #start({ seq, cell, module, start }: Start): Promise<void> {
    if (start.origin.kind !== 'launch' || module.bytes === undefined) throw notMigratable()
    this.#cell = cell
    this.#program = await WasixProgram.start({
      module: module.bytes,
      memoryMaxPages: module.memoryMaxPages,
      launch: start.origin,
      limits: start.limits,
      clock: systemClock,
      send: (stream, offset, bytes) => this.#send({ kind: 'output', cell, parts: [{ stream, offset, bytes }] }),
      over: () => void this.#send({ kind: 'over', cell }),
    })
    await this.#send({ kind: 'done', seq, value: true })
    await this.#end(await this.#program.ended())
  }

  async #end(end: Awaited<ReturnType<WasixProgram['ended']>>): Promise<void> {
    const exit: ReportedExit = { ...end, usage: this.#usage() }
    await this.#send({ kind: 'ended', cell: this.#cell, exit })
    process.exit(0)
  }

  #usage(): CellUsage {
    return this.#program?.usage() ?? { busyMs: 0, wallMs: 0, fuel: 0, memoryBytes: 0, outputBytes: 0, diskBytes: 0 }
  }
}

process.on('uncaughtException', (error) => {
  // Wasmer's workers may fail in their own ways. The peer sees that the process is gone.
  const code: CellErrorCode = 'CELL_HOST_DIED'
  process.stderr.write(`${code}: ${messageOf(error)}\n`)
  process.exit(1)
})

new WasixHost().listen()

// How things are shown: aligned tables and ages for people, one JSON value for programs, progress only on a terminal.
import { once } from 'node:events'
import type { MoveReply } from '../control/api.ts'

export interface OutputInit {
  readonly json: boolean
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  /** Told when nobody reads any more what is written: the other end of a pipe is gone. */
  readonly onBroken?: () => void
}

export class Output {
  readonly json: boolean
  readonly #stdout: NodeJS.WriteStream
  readonly #stderr: NodeJS.WriteStream
  #progress = false

  constructor(init: OutputInit) {
    this.json = init.json
    this.#stdout = init.stdout
    this.#stderr = init.stderr
    for (const stream of [init.stdout, init.stderr]) stream.on('error', () => init.onBroken?.())
  }

  /** The result, in text mode. */
  line(text: string): void {
    this.clearProgress()
    if (!this.json) this.#stdout.write(`${printable(text)}\n`)
  }

  /** The result, in JSON mode: exactly one value per line. */
  value(value: unknown): void {
    if (this.json) this.#stdout.write(`${JSON.stringify(value)}\n`)
  }

  /** Bytes of a program's output, in either mode. */
  raw(stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    this.clearProgress()
    ;(stream === 'stdout' ? this.#stdout : this.#stderr).write(bytes)
  }

  /** Resolves once whoever reads has room for more: what they do not read must not pile up here. */
  async drained(signal: AbortSignal): Promise<void> {
    for (const stream of [this.#stdout, this.#stderr])
      if (stream.writableNeedDrain) await once(stream, 'drain', { signal })
  }

  /** News beside the result: to standard error, never in JSON mode. */
  note(text: string): void {
    this.clearProgress()
    if (!this.json) this.#stderr.write(`${printable(text)}\n`)
  }

  /** A line that the next one overwrites; nothing unless a person watches. */
  progress(text: string): void {
    if (this.json || !this.#stderr.isTTY) return
    this.#stderr.write(`\r\u001b[2K${text}`)
    this.#progress = true
  }

  clearProgress(): void {
    if (!this.#progress) return
    this.#stderr.write('\r\u001b[2K')
    this.#progress = false
  }

  failure(error: { readonly code: string; readonly message: string; readonly facts: unknown }): void {
    this.clearProgress()
    if (this.json) this.#stdout.write(`${JSON.stringify({ error })}\n`)
    else this.#stderr.write(`cloudskin: ${printable(error.message)} [${error.code}]\n`)
  }

  table(header: readonly string[], rows: readonly (readonly string[])[]): void {
    for (const line of formatTable(header, rows)) this.line(line)
  }
}

/** Columns padded to their widest cell; the last is left ragged. */
export function formatTable(header: readonly string[], given: readonly (readonly string[])[]): string[] {
  const rows = given.map((row) => row.map(printable))
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)))
  const format = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd()
  return [format(header), ...rows.map(format)]
}

/** Names and reasons come from other peers: in a terminal they must neither draw nor begin a line. */
function printable(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').replace(/\p{Cc}/gu, '\ufffd')
}

export function shortId(id: string): string {
  return id.startsWith('12D3Koo') ? `…${id.slice(-8)}` : id.slice(0, 12)
}

/** `3s`, `4m10s`, `2h5m`, `3d`. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 60) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`
  return `${Math.floor(hours / 24)}d`
}

export function formatMs(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`
}

/** How a move went, in half a line. */
export function howItMoved({
  stopMs = 0,
  totalMs = 0,
  rounds = 0,
  movedBytes = 0,
  lastBytes = 0,
}: Pick<MoveReply, 'stopMs' | 'totalMs' | 'rounds' | 'movedBytes' | 'lastBytes'>): string {
  const live = rounds === 0 ? 'not copied while it ran' : `${rounds} round${rounds === 1 ? '' : 's'} while it ran`
  return `stopped ${formatMs(stopMs)} of ${formatMs(totalMs)}, ${live}, ${formatBytes(movedBytes)} moved, the last ${formatBytes(lastBytes)} while it stood`
}

/** Binary units: `512 B`, `1.5 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (value < 1024 || unit === 'GiB')
      return unit === 'B' ? `${value} B` : `${value.toFixed(value < 10 ? 1 : 0)} ${unit}`
    value /= 1024
  }
  return String(bytes)
}

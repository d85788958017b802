// Following one cell to its end: its output to the same streams, its story to standard error, its code as the exit code.
import { isCoded } from '../../core/errors.ts'
import type { CellEventReply, CellReply } from '../control/api.ts'
import type { ControlClient } from '../control/client.ts'
import { formatMs, howItMoved, type Output, shortId } from './output.ts'
import { EXIT, type VerbContext } from './verb.ts'

export interface FollowInit {
  readonly client: ControlClient
  readonly cell: string
  readonly out: Output
  readonly signal: AbortSignal
  /** Whether the program's output is passed on. */
  readonly output: boolean
}

/** What a person who watches is told to wait for. */
const WAITS_FOR: Readonly<Record<string, string>> = {
  accepted: 'choosing a peer…',
  placed: 'starting it there…',
  fetching: 'fetching and compiling…',
  moving: 'moving…',
}

const ENDED: ReadonlySet<string> = new Set(['finished', 'failed', 'stopped', 'lost'])

/** Resolves with the cell as it ended. In JSON mode every event is one line. */
export async function follow(init: FollowInit): Promise<CellReply | undefined> {
  const { client, cell, out } = init
  for await (const event of client.lines<CellEventReply>(`/cells/${cell}/events`, {
    query: { follow: '1' },
    signal: init.signal,
  })) {
    if (event.kind === 'end') return event.cell
    if (event.kind === 'output' && !init.output) continue
    if (out.json) out.value(event)
    else showEvent(event, out)
    await out.drained(init.signal)
  }
  return undefined
}

function showEvent(event: CellEventReply, out: Output): void {
  if (event.kind === 'phase') {
    // how it ended is said once, at the very end, with what it used
    if (ENDED.has(event.phase)) return
    out.note(`${event.phase}: ${event.detail}`)
    const wait = WAITS_FOR[event.phase]
    if (wait !== undefined) out.progress(wait)
  } else if (event.kind === 'output') {
    out.raw(event.stream, Buffer.from(event.base64, 'base64'))
  } else if (event.kind === 'move') {
    const { move } = event
    out.note(
      move.outcome === 'moved'
        ? `moved to ${shortId(move.to)}: ${howItMoved(move)}`
        : `not moved to ${shortId(move.to)}: ${move.outcome}${move.reason === undefined ? '' : `, ${move.reason}`}`,
    )
  }
}

/** The exit code that says how a cell ended: the program's own, or ours where it has none. */
export function exitCodeOf(cell: CellReply): number {
  switch (cell.phase) {
    case 'finished':
      return cell.exitCode ?? EXIT.failed
    case 'stopped':
      return EXIT.cellStopped
    case 'failed':
      return cell.error?.code === 'PLACEMENT_FAILED' ? EXIT.notPlaced : EXIT.cellFailed
    case 'lost':
      return EXIT.cellFailed
    default:
      return EXIT.failed
  }
}

export function describeEnd(cell: CellReply): string {
  const usage = cell.usage === undefined ? '' : `, ran ${formatMs(cell.usage.busyMs)}, fuel ${cell.usage.fuel}`
  switch (cell.phase) {
    case 'finished':
      return `finished: exit code ${cell.exitCode}${usage}`
    case 'failed':
      return `failed: ${cell.error?.message} [${cell.error?.code}]${usage}`
    case 'lost':
      return `lost: ${cell.error?.message ?? 'its host died'}; run it again with "cloudskin rerun ${shortId(cell.cell)}"`
    default:
      return `${cell.phase}${usage}`
  }
}

/** What of `wanted`, files and folders, the program did not leave. */
function missing(cell: CellReply, wanted: readonly string[]): string[] {
  return wanted.filter(
    (one) => !cell.files.some(({ path }) => `${path}/`.startsWith(one.endsWith('/') ? one : `${one}/`)),
  )
}

export interface FollowToEndInit {
  /** Whether the program's output is passed on. */
  readonly output: boolean
  /** Files and folders that the program was to leave. */
  readonly wanted?: readonly string[]
}

/** Follows `cell` and resolves with the exit code; broken off, it says that the cell goes on. */
export async function followToEnd(
  context: VerbContext,
  client: ControlClient,
  cell: string,
  { output, wanted = [] }: FollowToEndInit,
): Promise<number> {
  const { out, signal } = context
  try {
    const end = await follow({ client, cell, out, signal, output })
    if (end === undefined) return EXIT.failed
    out.value({ kind: 'end', cell: end })
    out.note(describeEnd(end))
    if (end.phase === 'finished') for (const path of missing(end, wanted)) out.note(`the program left no ${path}`)
    return exitCodeOf(end)
  } catch (error) {
    const id = shortId(cell)
    if (signal.aborted)
      out.note(`the cell goes on: "cloudskin logs -f ${id}" follows it, "cloudskin stop ${id}" ends it`)
    else if (isCoded(error, 'STOPPED', 'CONTROL_UNREACHABLE'))
      out.note(`the cell stays accepted: once the peer is up again, "cloudskin logs -f ${id}" says what became of it`)
    throw error
  }
}

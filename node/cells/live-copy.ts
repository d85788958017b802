// A running program's copy as migration wants it, also of a program that can only be copied when it stands still.
import type { CellHandle, LiveCopy, StoppedCopy } from '../../cells/index.ts'
import { type Clock, hostMono } from '../../core/clock.ts'
import { isCoded } from '../../core/errors.ts'
import type { CellCopy, StoppedCell } from '../../protocols/migration/index.ts'

export type ProgramCopy = Omit<CellCopy, 'stop'> & { stop(): Promise<Pick<StoppedCopy, 'parts' | 'stoppedAt'>> }

/** Begins the copy; where the engine cannot watch this program while it runs, one without rounds. */
export async function copyOf(handle: CellHandle, signal: AbortSignal): Promise<ProgramCopy> {
  try {
    return live(await handle.copy({ signal }))
  } catch (error) {
    if (signal.aborted || isCoded(error, 'CELL_ENDED')) throw error
    return still(handle, signal)
  }
}

function live(copy: LiveCopy): ProgramCopy {
  return {
    isLive: true,
    round: () => copy.round(),
    dirtyBytes: () => copy.dirtyBytes(),
    stop: () => copy.stop(),
    cancel: () => copy.cancel(),
  }
}

function still(handle: CellHandle, signal: AbortSignal): ProgramCopy {
  return {
    isLive: false,
    async *round() {},
    dirtyBytes: async () => (await handle.usage()).memoryBytes,
    stop: async () => {
      const { bytes, packMs } = await handle.suspend({ signal })
      return { parts: [bytes], stoppedAt: hostMono() - packMs }
    },
    cancel: async () => undefined,
  }
}

/** What was stopped, with its moment on the clock by which moves are measured too. */
export function stoppedCell(
  { parts, stoppedAt }: Pick<StoppedCopy, 'parts' | 'stoppedAt'>,
  context: Uint8Array,
  clock: Clock,
): StoppedCell {
  return { parts, context, stoppedAt: clock.mono() - (hostMono() - stoppedAt), hostStoppedAt: stoppedAt }
}

// Reading the clocks.
import { ClockId } from './abi.ts'
import { RESOLUTION_US } from './cell-clock.ts'
import type { Context } from './context.ts'
import { Errno } from './errno.ts'

export function clockCalls({ memory, clock }: Context) {
  return {
    clock_res_get(id: number, result: number): Errno {
      if (!isClock(id)) return Errno.INVAL
      if (!memory.has(result >>> 0, 8)) return Errno.FAULT
      memory.setNanoseconds(result >>> 0, RESOLUTION_US)
      return Errno.SUCCESS
    },

    clock_time_get(id: number, _precision: bigint, result: number): Errno {
      if (!isClock(id)) return Errno.INVAL
      if (!memory.has(result >>> 0, 8)) return Errno.FAULT
      memory.setNanoseconds(result >>> 0, clock.us(id))
      return Errno.SUCCESS
    },
  }
}

function isClock(id: number): id is ClockId {
  return id >= ClockId.REALTIME && id <= ClockId.THREAD_CPU
}

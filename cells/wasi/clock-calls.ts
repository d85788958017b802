// Reading the clocks, and waiting: `poll_oneoff` is the one call of preview1 that blocks.
import { CLOCK_ABSTIME, ClockId, EventType, Right, Size } from './abi.ts'
import type { Context } from './context.ts'
import { Errno } from './errno.ts'
import { BLOCK_AGAIN } from './types.ts'

/** Subscriptions of one call: a C library makes one per descriptor and one for the time-out. */
const MAX_SUBSCRIPTIONS = 2048

/** Longest single wait handed to the host, milliseconds: below the 2^31 that timers take. */
const MAX_WAIT_MS = 86_400_000

export function clockCalls(context: Context) {
  const { memory, clock, host } = context
  return {
    clock_res_get(id: number, result: number): Errno {
      if (!isClock(id)) return Errno.INVAL
      if (!memory.has(result >>> 0, 8)) return Errno.FAULT
      memory.setNanoseconds(result >>> 0, 1)
      return Errno.SUCCESS
    },

    clock_time_get(id: number, _precision: bigint, result: number): Errno {
      if (!isClock(id)) return Errno.INVAL
      if (!memory.has(result >>> 0, 8)) return Errno.FAULT
      memory.setNanoseconds(result >>> 0, id === ClockId.REALTIME ? clock.realtimeUs() : clock.monotonicUs())
      return Errno.SUCCESS
    },

    poll_oneoff(input: number, output: number, count: number, result: number): Errno | typeof BLOCK_AGAIN {
      const [subscriptions, events, counted] = [input >>> 0, output >>> 0, count >>> 0]
      if (counted === 0 || counted > MAX_SUBSCRIPTIONS) return Errno.INVAL
      if (!memory.has(subscriptions, counted * Size.SUBSCRIPTION) || !memory.has(events, counted * Size.EVENT))
        return Errno.FAULT
      if (!memory.has(result >>> 0, 4)) return Errno.FAULT
      const subscribed = readSubscriptions(context, subscriptions, counted)
      if (typeof subscribed === 'number') return subscribed
      // A call that is made again after a stop request goes on with the time at which it was first made.
      const sinceUs = context.blockedSinceUs ?? clock.monotonicUs()
      context.blockedSinceUs = undefined
      for (;;) {
        const elapsed = { sinceUs, monotonicUs: clock.monotonicUs(), realtimeUs: clock.realtimeUs() }
        const ready = subscribed.filter((one) => remainingUs(one, elapsed) <= 0)
        if (ready.length > 0) {
          for (const [index, one] of ready.entries()) writeEvent(context, events + index * Size.EVENT, one)
          memory.setU32(result >>> 0, ready.length)
          return Errno.SUCCESS
        }
        const leastUs = Math.min(...subscribed.map((one) => remainingUs(one, elapsed)))
        if (host.wait(Math.min(MAX_WAIT_MS, leastUs / 1000))) {
          context.blockedSinceUs = sinceUs
          return BLOCK_AGAIN
        }
      }
    },
  }
}

interface Subscription {
  readonly userdata: readonly [low: number, high: number]
  readonly type: number
  readonly errno: Errno
  /** Of a descriptor. */
  readonly bytes: number
  /** Of a clock. */
  readonly realtime: boolean
  readonly absolute: boolean
  readonly timeoutUs: number
}

interface Elapsed {
  readonly sinceUs: number
  readonly monotonicUs: number
  readonly realtimeUs: number
}

const NO_CLOCK = { realtime: false, absolute: false, timeoutUs: 0 } as const

/** All are read before any event is written: the two areas may overlap. */
function readSubscriptions(context: Context, at: number, count: number): Subscription[] | Errno {
  const { memory } = context
  const out: Subscription[] = []
  for (let i = 0; i < count; i++) {
    const one = at + i * Size.SUBSCRIPTION
    const userdata = [memory.u32(one), memory.u32(one + 4)] as const
    const type = memory.u8(one + 8)
    if (type === EventType.CLOCK) {
      const id = memory.u32(one + 16)
      const errno = isClock(id) ? Errno.SUCCESS : Errno.INVAL
      const timeoutUs = errno === Errno.SUCCESS ? Math.ceil(memory.u64(one + 24) / 1000) : 0
      const absolute = (memory.u16(one + 40) & CLOCK_ABSTIME) !== 0 && errno === Errno.SUCCESS
      out.push({ userdata, type, errno, bytes: 0, realtime: id === ClockId.REALTIME, absolute, timeoutUs })
    } else if (type === EventType.FD_READ || type === EventType.FD_WRITE) {
      out.push({ userdata, type, ...readiness(context, memory.u32(one + 16), type), ...NO_CLOCK })
    } else return Errno.INVAL
  }
  return out
}

/** Files and our streams are always ready. */
function readiness(context: Context, fd: number, type: number): { errno: Errno; bytes: number } {
  const descriptor = context.descriptors.get(fd)
  const right = type === EventType.FD_READ ? Right.FD_READ : Right.FD_WRITE
  if (descriptor === undefined || (descriptor.rights & right) === 0) return { errno: Errno.BADF, bytes: 0 }
  if (type === EventType.FD_WRITE) return { errno: Errno.SUCCESS, bytes: 65_536 }
  const { stdin } = context
  const bytes =
    descriptor.kind === 'file' ? descriptor.node.size - descriptor.position : stdin.bytes.length - stdin.position
  return { errno: Errno.SUCCESS, bytes: Math.max(0, bytes) }
}

/** Until the subscription is due. A span counts on the monotonic clock, whichever clock it names. */
function remainingUs(one: Subscription, { sinceUs, monotonicUs, realtimeUs }: Elapsed): number {
  if (!one.absolute) return one.timeoutUs === 0 ? 0 : sinceUs + one.timeoutUs - monotonicUs
  return one.timeoutUs - (one.realtime ? realtimeUs : monotonicUs)
}

function writeEvent({ memory }: Context, at: number, one: Subscription): void {
  memory.fill(at, Size.EVENT)
  memory.setU32(at, one.userdata[0])
  memory.setU32(at + 4, one.userdata[1])
  memory.setU16(at + 8, one.errno)
  memory.setU8(at + 10, one.type)
  memory.setU64(at + 16, one.bytes)
}

function isClock(id: number): boolean {
  return id >= ClockId.REALTIME && id <= ClockId.THREAD_CPU
}

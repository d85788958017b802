// Waiting: `poll_oneoff`, the call that blocks by design.
import { CLOCK_ABSTIME, ClockId, EventType, READWRITE_HANGUP, Right, Size } from './abi.ts'
import type { Context } from './context.ts'
import type { Descriptor } from './descriptors.ts'
import { Errno } from './errno.ts'
import { BLOCK_AGAIN, MAX_WAIT_MS } from './types.ts'

/** Subscriptions of one call: a C library makes one per descriptor and one for the time-out. */
const MAX_SUBSCRIPTIONS = 2048

/** What a stream takes without waiting, bytes: the pipe capacity of Linux. */
const WRITABLE_BYTES = 65_536

export function pollCalls(context: Context) {
  const { memory, clock, host } = context
  return {
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
        const remaining = subscribed.map((one) => remainingUs(context, one, sinceUs))
        const ready = subscribed.filter((_, index) => (remaining[index] ?? 0) <= 0)
        if (ready.length > 0) {
          for (const [index, one] of ready.entries()) writeEvent(context, events + index * Size.EVENT, one)
          memory.setU32(result >>> 0, ready.length)
          return Errno.SUCCESS
        }
        if (host.wait(Math.min(MAX_WAIT_MS, ...remaining.map((us) => us / 1000)))) {
          context.blockedSinceUs = sinceUs
          return BLOCK_AGAIN
        }
      }
    },
  }
}

interface SubscriptionFields {
  readonly userdata: readonly [low: number, high: number]
  readonly errno: Errno
}
interface ClockSubscription extends SubscriptionFields {
  readonly type: typeof EventType.CLOCK
  readonly realtime: boolean
  readonly absolute: boolean
  readonly timeoutUs: number
}
interface StreamSubscription extends SubscriptionFields {
  readonly type: typeof EventType.FD_READ | typeof EventType.FD_WRITE
  readonly descriptor: Descriptor | undefined
}
type Subscription = ClockSubscription | StreamSubscription

/** All are read before any event is written: the two areas may overlap. */
function readSubscriptions(context: Context, at: number, count: number): Subscription[] | Errno {
  const { memory } = context
  const out: Subscription[] = []
  for (let i = 0; i < count; i++) {
    const one = at + i * Size.SUBSCRIPTION
    const userdata = [memory.u32(one), memory.u32(one + 4)] as const
    const type = memory.u8(one + 8)
    if (type === EventType.CLOCK) out.push(clockSubscription(context, one, userdata))
    else if (type === EventType.FD_READ || type === EventType.FD_WRITE) {
      const descriptor = context.descriptors.get(memory.u32(one + 16))
      out.push({ userdata, type, descriptor, errno: mayPoll(descriptor, type) })
    } else return Errno.INVAL
  }
  return out
}

function clockSubscription(
  { memory }: Context,
  at: number,
  userdata: SubscriptionFields['userdata'],
): ClockSubscription {
  const [id, flags] = [memory.u32(at + 16), memory.u16(at + 40)]
  // The CPU clocks stand still while the program waits: POSIX `clock_nanosleep` refuses them.
  const known = (id === ClockId.REALTIME || id === ClockId.MONOTONIC) && (flags & ~CLOCK_ABSTIME) === 0
  return {
    userdata,
    type: EventType.CLOCK,
    errno: known ? Errno.SUCCESS : Errno.INVAL,
    realtime: id === ClockId.REALTIME,
    absolute: (flags & CLOCK_ABSTIME) !== 0,
    timeoutUs: Math.ceil(memory.u64(at + 24) / 1000),
  }
}

/** Not open for reading or writing is BADF, as it is in those calls. */
function mayPoll(descriptor: Descriptor | undefined, type: number): Errno {
  const right = type === EventType.FD_READ ? Right.FD_READ : Right.FD_WRITE
  if (descriptor === undefined || (descriptor.rights & right) === 0) return Errno.BADF
  return (descriptor.rights & Right.POLL_FD_READWRITE) === 0 ? Errno.NOTCAPABLE : Errno.SUCCESS
}

/** Until there is an event, Infinity when nobody knows. Whatever is wrong is an event at once. */
function remainingUs({ clock, stdin }: Context, one: Subscription, sinceUs: number): number {
  if (one.errno !== Errno.SUCCESS) return 0
  if (one.type !== EventType.CLOCK) {
    const waits = one.type === EventType.FD_READ && one.descriptor?.kind === 'stdin' && !stdin.closed
    return waits && stdin.unread === 0 ? Number.POSITIVE_INFINITY : 0
  }
  if (one.absolute) return one.timeoutUs - (one.realtime ? clock.realtimeUs() : clock.monotonicUs())
  // A span of real time does not change when the clock is set: POSIX `clock_nanosleep`.
  return one.timeoutUs === 0 ? 0 : sinceUs + one.timeoutUs - clock.monotonicUs()
}

function writeEvent(context: Context, at: number, one: Subscription): void {
  const { memory, stdin } = context
  memory.fill(at, Size.EVENT)
  memory.setU32(at, one.userdata[0])
  memory.setU32(at + 4, one.userdata[1])
  memory.setU16(at + 8, one.errno)
  memory.setU8(at + 10, one.type)
  if (one.type === EventType.CLOCK || one.errno !== Errno.SUCCESS) return
  memory.setU64(at + 16, readyBytes(context, one))
  const ended = one.type === EventType.FD_READ && one.descriptor?.kind === 'stdin' && stdin.closed
  if (ended && stdin.unread === 0) memory.setU16(at + 24, READWRITE_HANGUP)
}

function readyBytes({ stdin }: Context, { type, descriptor }: StreamSubscription): number {
  if (type === EventType.FD_WRITE) return WRITABLE_BYTES
  if (descriptor?.kind === 'file') return Math.max(0, descriptor.node.content.size - descriptor.position)
  return stdin.unread
}

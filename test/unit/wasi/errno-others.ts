// The errnos of the calls that take neither paths nor files.
import { AT, BUFFER, type Cases, FILE, OUT, one, UNOPEN } from './errno-fixture.ts'
import type { Guest } from './guest.ts'

function unknownEvent(guest: Guest): number {
  guest.view.setUint8(BUFFER + 8, 3)
  return BUFFER
}

export const otherCases: Readonly<Record<string, Cases>> = {
  args_get: { FAULT: [(g) => g.call('args_get', OUT, 0), (g) => g.call('args_get', 0, OUT - 3)] },
  args_sizes_get: { FAULT: [(g) => g.call('args_sizes_get', OUT, 0), (g) => g.call('args_sizes_get', 0, OUT - 3)] },
  environ_get: { FAULT: [(g) => g.call('environ_get', OUT, 0), (g) => g.call('environ_get', 0, OUT - 3)] },
  environ_sizes_get: { FAULT: [(g) => g.call('environ_sizes_get', OUT, 0)] },
  clock_res_get: {
    INVAL: [(g) => g.call('clock_res_get', 4, AT), (g) => g.call('clock_res_get', -1, AT)],
    FAULT: [(g) => g.call('clock_res_get', 0, OUT - 7)],
  },
  clock_time_get: {
    INVAL: [(g) => g.call('clock_time_get', 4, 0n, AT)],
    FAULT: [(g) => g.call('clock_time_get', 0, 0n, OUT - 7)],
  },
  poll_oneoff: {
    INVAL: [
      (g) => g.call('poll_oneoff', BUFFER, 8192, 0, AT),
      (g) => g.call('poll_oneoff', BUFFER, 8192, 2049, AT),
      (g) => g.call('poll_oneoff', unknownEvent(g), 8192, 1, AT),
    ],
    FAULT: [
      (g) => g.call('poll_oneoff', OUT - 47, 8192, 1, AT),
      (g) => g.call('poll_oneoff', BUFFER, OUT - 31, 1, AT),
      (g) => g.call('poll_oneoff', BUFFER, 8192, 1, OUT - 3),
    ],
  },
  proc_exit: {},
  proc_raise: {
    INVAL: [(g) => g.call('proc_raise', 31), (g) => g.call('proc_raise', -1)],
    NOTSUP: [18, 19, 20, 21].map((signal) => (g) => g.call('proc_raise', signal)),
  },
  random_get: { FAULT: [(g) => g.call('random_get', OUT - 3, 4), (g) => g.call('random_get', 0, -1)] },
  sched_yield: {},
  sock_accept: {
    BADF: [(g) => g.call('sock_accept', UNOPEN, 0, AT)],
    NOTSOCK: [(g) => g.call('sock_accept', 0, 0, AT)],
  },
  sock_recv: {
    BADF: [(g) => g.call('sock_recv', UNOPEN, ...one(g), 0, AT, 16)],
    NOTSOCK: [(g) => g.call('sock_recv', FILE, ...one(g), 0, AT, 16)],
  },
  sock_send: {
    BADF: [(g) => g.call('sock_send', UNOPEN, ...one(g), 0, AT)],
    NOTSOCK: [(g) => g.call('sock_send', 1, ...one(g), 0, AT)],
  },
  sock_shutdown: { BADF: [(g) => g.call('sock_shutdown', UNOPEN, 3)], NOTSOCK: [(g) => g.call('sock_shutdown', 2, 3)] },
}

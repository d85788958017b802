// The numbers of the cell runtime, each with its reason. Data only.

/** A poll reaches JavaScript about this often: a stop request is seen within it, at well under 0.1 % of the time. */
export const POLL_TARGET_MS = 1
/**
 * Polls between two calls out, at first: well under a millisecond of work for most, a quarter of a second where every loop
 * turn fills a megabyte. Then the measured pace takes over.
 */
export const FIRST_BUDGET = 500
/** Bytes that calls may move until it is looked whether a poll is due: 0.1-0.5 ms of copying. */
export const LOOK_AFTER_BYTES = 1 << 20
/** A slice that has become so long, milliseconds, ends at the next poll, whatever is left of its budget. */
export const LONG_SLICE_MS = 4
/** Cap of that: a program whose loop turns become 100 times dearer still answers in about 10 ms. */
export const MAX_BUDGET = 100_000
/** A cell above its share sleeps once it owes this much: shorter sleeps are mostly timer slack. */
export const MIN_SLEEP_MS = 2
/**
 * A program leaves its stack and comes back, twice, after it has been busy for so long, for V8 to go on in optimised code:
 * what is shorter would gain little. Each return takes well under a millisecond.
 */
export const TIER_UP_AFTER_MS = 50
/** The second time so much later: V8 has then compiled what the first one entered. */
export const TIER_UP_AGAIN_MS = 70
/** Then again, for what was called since, each time after so many times as long. */
export const TIER_UP_FACTOR = 4
/** A wait is cut into pieces this long, so that usage read from outside is never older. */
export const MAX_NAP_MS = 100

/** Output travels in batches: this many bytes, */
export const OUTPUT_BATCH_BYTES = 64 * 1024
/** or what there is after this long: a person still sees it at once. */
export const OUTPUT_BATCH_MS = 20
/** Output on its way to the peer, per cell: a cell that writes faster than it is read waits. */
export const OUTPUT_WINDOW_BYTES = 1 << 20

/** Standard input that a cell holds for its program, beyond what it was launched with: what comes then waits outside. */
export const STDIN_UNREAD_BYTES = 4 << 20

/** The request of a suspension is withdrawn when the program passes no poll for so long. */
export const QUIESCE_TIMEOUT_MS = 5_000
/** Packing after that: 4 GiB at 300 MB/s. */
export const PACK_TIMEOUT_MS = 20_000
/** Instrumenting and compiling the largest known module (58 MB) takes ten seconds, on a machine with much else to do a minute. */
export const COMPILE_TIMEOUT_MS = 180_000
/** Any other answer takes milliseconds, or as long as the machine needs to copy what was asked for. */
export const HOST_ANSWER_MS = 30_000
/** A killed program ends at its next poll, and its thread is used again; after this the thread is ended with it. */
export const KILL_POLL_MS = 15
/**
 * `worker.terminate()` ends an endless loop in 3-15 ms. The engine looks for it at loops and calls only, so straight-line
 * code that fills gigabytes may take longer. After this the owner's other cells leave for another process, and this one is
 * killed.
 */
export const KILL_TIMEOUT_MS = 1_500
/** Results that take more than this are announced before they are copied: a program that is over uses no wall time. */
export const LARGE_RESULT_BYTES = 4 << 20
/** So announced, they must have come after this: `MAX_FILES` small files, on a machine with much else to do, */
export const RESULTS_TIMEOUT_MS = 60_000
/** and as much longer as a slow disk takes for what the cell may hold: 20 MB/s. */
export const RESULT_BYTES_PER_MS = 20_000
/** Bytes of a cell's files that stay in memory, beyond what it was given there: the system caches the others. */
export const RESIDENT_FILE_BYTES = 64 << 20
/** A file above this is left in a file, and not copied through messages. */
export const LARGE_FILE_BYTES = 4 << 20
/** What Wasmer's runtime takes for itself, in its own memory and in the process. */
export const WASIX_OWN_BYTES = 384 << 20
/** How often it is looked at what such a process takes: at a GB/s it is 100 MB late. */
export const WASIX_LOOK_MS = 100
/** The worker enforces the wall limit; the peer steps in when it is late by so much. */
export const WALL_GRACE_MS = 500
/** A host process that is told to end has this long. */
export const HOST_END_MS = 1_000

/** Old-generation heap of a host process, MiB: room to instrument the largest known modules. */
export const HOST_HEAP_MB = 512

/** Compiled modules kept by a host process: code of a 20 MB module takes about 40 MB. */
export const MODULE_CACHE_ENTRIES = 8
/** Workers kept ready: a start of a known module then costs no thread start (50-100 ms of CPU). */
export const SPARE_WORKERS = 1
/** A spare worker beyond those ends after this long: until then bursts of short cells find as many as the last one had. */
export const WORKER_IDLE_MS = 5_000
/** Workers that may be starting at once. */
export const STARTING_WORKERS = 2
/** A start that finds no spare worker waits this long for one to come back before another begins to start. */
export const WORKER_PATIENCE_MS = 10
/**
 * Stack of a worker's thread, MiB: what is not used costs no memory. Instrumented code takes more stack than the program's
 * own, and with Node's 4 MiB what recurses deeply would end earlier than elsewhere.
 */
export const WORKER_STACK_MB = 64
/** A worker is replaced after so many cells, and what they left in its heap goes with it: 0.01 ms of CPU for each. */
export const CELLS_PER_WORKER = 10_000

/** Cells of one host process: each is a thread of its own. */
export const MAX_CELLS_PER_HOST = 256
/** Entries of a finished cell's file tree that are taken over. */
export const MAX_FILES = 100_000
export const MAX_PATH_CHARS = 4_096
export const MAX_MESSAGE_CHARS = 2_000
/** Memory or files that a running program is held up for at a time: 0.1-0.5 ms of copying. */
export const SLICE_BYTES = 1 << 20
/** A program that is copied is held up for no more than this share of its time. */
export const COPY_DUTY = 1 / 3
/** Slices that are asked for ahead of their use: one is taken while another is compressed and a third is on its way. */
export const SLICES_AHEAD = 3
/** Pages that go with the state in one part; when more are left, the others go before it. */
export const LAST_PAGES_BYTES = 8 << 20

/** Everything of a snapshot that is neither memory nor files: args, env, descriptors, frames, globals. */
export const SNAPSHOT_STATE_SLACK_BYTES = 80 << 20

// The WASI preview1 of one cell: builds the tree, binds the calls to the program's memory, captures and restores.
import { fromUtf8, sha256, utf8 } from '../../core/bytes.ts'
import { CodedError, messageOf } from '../../core/errors.ts'
import { ALL_RIGHTS, DIRECTORY_RIGHTS, Right, STREAM_RIGHTS } from './abi.ts'
import { CellClock } from './cell-clock.ts'
import { clockCalls } from './clock-calls.ts'
import { Content } from './content.ts'
import { ContentLedger } from './contents.ts'
import type { Context } from './context.ts'
import { descriptorCalls } from './descriptor-calls.ts'
import { Descriptors } from './descriptors.ts'
import { directoryCalls } from './directory-calls.ts'
import { fileCalls } from './file-calls.ts'
import { addInput, type ChangedFile, changedFilesOf, contentAt, makeDirectory } from './files.ts'
import { type GuestRandom, hostRandom, SeededRandom, type SeededState } from './guest-random.ts'
import { MemoryView } from './memory-view.ts'
import { directoryNode } from './nodes.ts'
import { Output } from './output.ts'
import { pathCalls } from './path-calls.ts'
import { PiecePool } from './pieces.ts'
import { pollCalls } from './poll-calls.ts'
import { processCalls } from './process-calls.ts'
import { rebuild } from './rebuild.ts'
import type { ReceivedContents } from './received-contents.ts'
import { socketCalls } from './socket-calls.ts'
import { captureDescriptors, captureNode, nodesOf, type WasiState, wasiState } from './state.ts'
import { Stdin } from './stdin.ts'
import { Tree } from './tree.ts'
import type { WasiImports, WasiInit, WasiRestoreInit, WasiSurroundings } from './types.ts'

const ROOT_INODE = 1
/** There from the start, in the root: for what a program needs on its way, and for its results. */
const FIRST_DIRECTORIES = ['tmp', 'out'] as const

export class Wasi {
  readonly #context: Context
  readonly #imports: WasiImports

  /** A program before its first instruction, or see {@link restore}. Throws `CELL_FILE_PATH_INVALID`. */
  constructor(init: WasiInit | WasiRestoreInit) {
    this.#context = 'state' in init ? restoredContext(init) : freshContext(init)
    this.#imports = {
      ...processCalls(this.#context),
      ...clockCalls(this.#context),
      ...pollCalls(this.#context),
      ...descriptorCalls(this.#context),
      ...fileCalls(this.#context),
      ...directoryCalls(this.#context),
      ...pathCalls(this.#context),
      ...socketCalls(this.#context),
    }
  }

  /**
   * A WASI as it was when `state` was captured. A tree that is bigger than the limit here is kept, and cannot grow.
   * Throws `SNAPSHOT_MALFORMED` for anything that is not such a state, and for one that leaves out file contents
   * that are not among `contents`.
   */
  static restore(state: unknown, surroundings: WasiSurroundings, contents?: ReceivedContents): Wasi {
    return new Wasi({ ...surroundings, state, contents })
  }

  /** The functions of the module `wasi_snapshot_preview1`. */
  imports(): WasiImports {
    return this.#imports
  }

  /** Gives the calls the program's memory: before `_start`, and anew for every instance. */
  bind(memory: WebAssembly.Memory): void {
    this.#context.memory.bind(memory)
  }

  /** Has every write to the program's memory by a call reported, from now on; `undefined` ends that. */
  onWrite(report: ((pointer: number, length: number) => void) | undefined): void {
    this.#context.memory.onWrite = report
  }

  /**
   * Starts to keep track of the contents of files, so that they can be sent ahead of the state; ends what an earlier
   * call began. While it lasts, each write costs a little more: see {@link untrackContents}.
   */
  trackContents(): ContentLedger {
    const { tree, descriptors } = this.#context
    const files = Array.from(nodesOf(tree, descriptors.entries())).filter((node) => node.kind === 'file')
    const ledger = new ContentLedger(files)
    tree.watch = ledger
    return ledger
  }

  untrackContents(): void {
    this.#context.tree.watch = undefined
  }

  /** More standard input, kept and not copied; without effect once it is closed. */
  writeStdin(bytes: Uint8Array): void {
    this.#context.stdin.append(bytes)
  }

  closeStdin(): void {
    this.#context.stdin.close()
  }

  /** Bytes of standard input that have come since the first start, and whether these were all. */
  stdinTaken(): { readonly bytes: number; readonly closed: boolean } {
    const { bytesRead, unread, closed } = this.#context.stdin
    return { bytes: bytesRead + unread, closed }
  }

  /** Bytes of standard input that the program has not read yet. */
  unreadStdin(): number {
    return this.#context.stdin.unread
  }

  /**
   * The whole state; also while a call that returned `BLOCK_AGAIN` waits to be made again.
   * @param sent from {@link trackContents}, which must be in force: leaves out the contents that it has sent. `all` leaves
   * all files empty: what is like the state, and costs little
   */
  state(sent?: ContentLedger | 'all'): WasiState {
    const { args, env, stdin, random, output, clock, tree, descriptors, blockedSinceUs } = this.#context
    const seeded = random.state()
    if (sent !== undefined && sent !== 'all' && sent !== tree.watch)
      throw new Error('the ledger did not see all changes of the files')
    const text = (block: Uint8Array): string => fromUtf8(block.subarray(0, -1))
    const open = [...descriptors.entries()]
    return {
      args: args.map(text),
      env: env.map(text),
      stdin: stdin.rest(),
      stdinRead: stdin.bytesRead,
      stdinClosed: stdin.closed,
      ...(seeded === undefined ? {} : { random: seeded }),
      stdoutBytes: output.stdoutBytes,
      stderrBytes: output.stderrBytes,
      monotonicUs: clock.monotonicUs(),
      ...(blockedSinceUs === undefined ? {} : { blockedSinceUs }),
      root: tree.root.inode,
      nextInode: tree.nextInode,
      nodes: Array.from(nodesOf(tree, open), (node) => captureNode(node, sent)),
      descriptors: captureDescriptors(open),
    }
  }

  /** The bytes of the file, as they are until the program goes on; undefined when there is none. */
  contentOf(path: string): Content | undefined {
    return contentAt(this.#context.tree, path)
  }

  /** The files created or modified since the inputs, in path order; what was deleted is not listed. */
  changedFiles(): ChangedFile[] {
    return changedFilesOf(this.#context.tree)
  }

  /** Bytes in the file tree, inputs and open unlinked files included. */
  diskBytes(): number {
    return this.#context.tree.usedBytes
  }

  /** Bytes written to stdout and stderr since the first start. */
  outputBytes(): number {
    return this.#context.output.stdoutBytes + this.#context.output.stderrBytes
  }
}

function freshContext(init: WasiInit): Context {
  const clock = new CellClock(init.clock, 0, init.cpuMs)
  const nowUs = clock.realtimeUs()
  const root = directoryNode(ROOT_INODE, nowUs)
  const tree = new Tree({
    diskBytes: init.limits.diskBytes,
    root,
    nextInode: ROOT_INODE + 1,
    ...(init.pool === undefined ? {} : { pool: init.pool }),
  })
  for (const name of FIRST_DIRECTORIES) makeDirectory(tree, root, name, `/${name}`, nowUs)
  for (const { path, bytes } of init.files) addInput(tree, path, Content.shared(tree.pool, bytes), nowUs)
  for (const { path, source } of init.sources ?? []) addInput(tree, path, Content.lazy(tree.pool, source), nowUs)
  const descriptors = new Descriptors(tree)
  descriptors.add({ kind: 'stdin', flags: 0, rights: STREAM_RIGHTS | Right.FD_READ, inheriting: 0 })
  descriptors.add({ kind: 'stdout', flags: 0, rights: STREAM_RIGHTS | Right.FD_WRITE, inheriting: 0 })
  descriptors.add({ kind: 'stderr', flags: 0, rights: STREAM_RIGHTS | Right.FD_WRITE, inheriting: 0 })
  const rights = { flags: 0, rights: DIRECTORY_RIGHTS, inheriting: ALL_RIGHTS }
  descriptors.add({ kind: 'directory', ...rights, node: root, preopen: '/' })
  return {
    ...shared(init),
    args: init.args.map(withNul),
    env: Object.entries(init.env).map(([name, value]) => withNul(`${name}=${value}`)),
    stdin: stdinOf(init.stdin, 0, init.stdinOpen !== true),
    random: randomOf(init, init.randomSeed === undefined ? undefined : { seed: sha256(init.randomSeed), position: 0 }),
    output: new Output(init.host, init.limits.outputBytes, 0, 0),
    clock,
    tree,
    descriptors,
    blockedSinceUs: undefined,
  }
}

function restoredContext({ state: value, contents, ...surroundings }: WasiRestoreInit): Context {
  try {
    const state = wasiState(value, '')
    return {
      ...shared(surroundings),
      ...rebuild(state, surroundings.limits.diskBytes, surroundings.pool ?? new PiecePool(), contents),
      args: state.args.map(withNul),
      env: state.env.map(withNul),
      stdin: stdinOf(state.stdin, state.stdinRead, state.stdinClosed),
      random: randomOf(surroundings, state.random),
      output: new Output(surroundings.host, surroundings.limits.outputBytes, state.stdoutBytes, state.stderrBytes),
      clock: new CellClock(surroundings.clock, state.monotonicUs, surroundings.cpuMs),
      blockedSinceUs: state.blockedSinceUs,
    }
  } catch (error) {
    throw new CodedError('SNAPSHOT_MALFORMED', `the WASI state of the snapshot is damaged: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

function shared({ host }: WasiSurroundings) {
  return { memory: new MemoryView(), host }
}

function stdinOf(bytes: Uint8Array, read: number, closed: boolean): Stdin {
  const stdin = new Stdin(read)
  stdin.append(bytes)
  if (closed) stdin.close()
  return stdin
}

function randomOf({ random }: WasiSurroundings, seeded: SeededState | undefined): GuestRandom {
  return seeded === undefined ? hostRandom(random) : new SeededRandom(seeded)
}

/** As C has it; a NUL inside would end the text early, so it ends here. */
function withNul(text: string): Uint8Array {
  const end = text.indexOf('\0')
  return utf8(`${end < 0 ? text : text.slice(0, end)}\0`)
}

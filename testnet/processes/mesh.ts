// Real peers as processes of their own on loopback, driven through their control sockets as a person would.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CodedError } from '../../core/errors.ts'
import { abortable, deadline } from '../../core/lifecycle.ts'
import type { ErrorReply, InviteReply, PeerRow, StatusReply } from '../../node/control/api.ts'
import { ControlClient } from '../../node/control/client.ts'

const MAIN = fileURLToPath(new URL('../../node/main.ts', import.meta.url))

/** A peer calibrates at its first start, and the machine may be busy with four others. */
const START_TIMEOUT_MS = 90_000

export interface ProcessPeerInit {
  readonly name: string
  /** Flags of `cloudskin up` besides name, home and listening addresses. */
  readonly flags?: readonly string[]
  /** An existing home; @default a new one in the mesh's folder */
  readonly home?: string
}

export interface ProcessPeer {
  readonly name: string
  readonly home: string
  readonly peer: string
  readonly status: StatusReply
  readonly client: ControlClient
  readonly process: ChildProcess
  /** What it wrote to standard error so far, for when something fails. */
  log(): string
}

/** What ends a process unless it objects. */
const ENDINGS = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const

/** A folder with the homes of some peers; `stop` ends what was started here, and only that. So does the end of this process. */
export class ProcessMesh {
  readonly folder: string
  readonly #peers = new Set<ProcessPeer>()
  readonly #children = new Set<ChildProcess>()

  constructor(folder: string) {
    this.folder = folder
  }

  static async create(): Promise<ProcessMesh> {
    const mesh = new ProcessMesh(await mkdtemp(join(tmpdir(), 'cloudskin-')))
    process.once('exit', mesh.#onExit)
    for (const signal of ENDINGS) process.once(signal, mesh.#onSignal)
    return mesh
  }

  get peers(): readonly ProcessPeer[] {
    return [...this.#peers]
  }

  /** Starts `cloudskin up` and resolves once the peer says that it is ready. */
  async start(init: ProcessPeerInit): Promise<ProcessPeer> {
    const home = init.home ?? join(this.folder, init.name)
    const listen = ['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns']
    const argv = ['up', '--home', home, '--name', init.name, '-o', 'json', ...listen, ...(init.flags ?? [])]
    const child = spawn(process.execPath, [MAIN, ...argv], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    this.#children.add(child)
    let log = ''
    let said = ''
    child.stderr?.on('data', (data: Buffer) => {
      log = (log + data.toString()).slice(-64_000)
    })
    child.stdout?.on('data', (data: Buffer) => {
      said = (said + data.toString()).slice(-64_000)
    })
    const started = new Promise<{ status: StatusReply }>((resolve, reject) => {
      child.once('message', (message: { status: StatusReply } | ErrorReply) =>
        'error' in message
          ? reject(new CodedError(message.error.code, `${init.name}: ${message.error.message}\n${log}`))
          : resolve(message),
      )
      child.once('exit', (code, signal) => {
        this.#children.delete(child)
        reject(
          new CodedError(
            'PEER_DID_NOT_START',
            `${init.name} ended (${code ?? signal}) before it was ready\n${said}${log}`,
          ),
        )
      })
    })
    const { status } = await abortable(started, deadline(START_TIMEOUT_MS))
    const peer: ProcessPeer = {
      name: init.name,
      home,
      peer: status.peer,
      status,
      client: new ControlClient(status.socket),
      process: child,
      log: () => log,
    }
    this.#peers.add(peer)
    child.once('exit', () => this.#peers.delete(peer))
    return peer
  }

  /** A ticket of the mesh that `peer` belongs to. */
  async ticket(peer: ProcessPeer, uses = 1): Promise<string> {
    const reply = await peer.client.call<InviteReply>('/invites', { json: { ttlMs: 3_600_000, uses } })
    return reply.ticket ?? ''
  }

  /** SIGKILL: the process gets no chance to say anything. */
  async kill(peer: ProcessPeer): Promise<void> {
    const gone = once(peer.process, 'exit')
    peer.process.kill('SIGKILL')
    await gone
  }

  /** The orderly way: the peer says good-bye and ends by itself. */
  async down(peer: ProcessPeer): Promise<void> {
    const gone = once(peer.process, 'exit')
    await peer.client.call('/down', { json: {} })
    await gone
  }

  /** The last chance: nothing can be waited for. */
  readonly #onExit = (): void => {
    for (const child of this.#children) child.kill('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }

  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#letGo()
    this.#onExit()
    process.kill(process.pid, signal)
  }

  #letGo(): void {
    process.off('exit', this.#onExit)
    for (const signal of ENDINGS) process.off(signal, this.#onSignal)
  }

  /** Leaves the processes running and lets this one end. */
  release(): void {
    this.#letGo()
    for (const child of this.#children) {
      child.stdout?.destroy()
      child.stderr?.destroy()
      child.unref()
    }
    this.#children.clear()
  }

  /** Ends every process started here, hard, and removes the homes. */
  async stop(): Promise<void> {
    await Promise.all(
      [...this.#children].map(async (child) => {
        const gone = once(child, 'exit')
        child.kill('SIGKILL')
        await gone
      }),
    )
    await rm(this.folder, { recursive: true, force: true })
    this.#letGo()
  }
}

/** The rows of `cloudskin peers` as `peer` sees them. */
export async function peersSeenBy(peer: ProcessPeer): Promise<readonly PeerRow[]> {
  return (await peer.client.call<{ peers: PeerRow[] }>('/peers')).peers
}

// What the tests with real peers share: the command line as a child process, small meshes, and the check that they are well.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { systemClock } from '../../core/clock.ts'
import type { PeerRow, StatusReply } from '../../node/control/api.ts'
import { type ProcessMesh, type ProcessPeer, peersSeenBy } from '../../testnet/processes/mesh.ts'
import { until } from '../../testnet/processes/until.ts'

export const MAIN = fileURLToPath(new URL('../../node/main.ts', import.meta.url))

/** Long runs with many repetitions: `npm run test:long`. */
export const LONG = process.env.CLOUDSKIN_LONG !== undefined

/** Quick to start, quiet, no rounds of their own. */
export const QUICK = ['--no-calibrate', '--round-interval-s', '0', '--log-level', 'error'] as const

/** Far above a peer at rest (about 150 MB) with a host process's share, far below what a leak makes of it. */
const MAX_RSS_BYTES = 700 * 1024 * 1024

/** The seed of everything random in a test file: given to replay a failure, else of the day, and always printed. */
export function seedOf(file: string): number {
  const seed = Number(process.env.CLOUDSKIN_SEED ?? Math.trunc(systemClock.now()) % 1_000_000)
  console.info(`${file}: CLOUDSKIN_SEED=${seed}`)
  return seed
}

export interface CliResult {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface CliInit {
  /** Called with everything that standard output said so far, at each new piece. */
  readonly onStdout?: (said: string, child: { kill(signal: NodeJS.Signals): void; closeStdout(): void }) => void
  readonly env?: Readonly<Record<string, string>>
  /** What it reads as its standard input (default: nothing). */
  readonly stdin?: string
}

/** Runs `cloudskin` with `args` to its end. */
export async function cli(args: readonly string[], init: CliInit = {}): Promise<CliResult> {
  const env = { ...process.env, ...init.env }
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['pipe', 'pipe', 'pipe'], env })
  child.stdin.on('error', () => undefined).end(init.stdin ?? '')
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString()
    init.onStdout?.(stdout, {
      kill: (signal) => child.kill(signal),
      closeStdout: () => child.stdout.destroy(),
    })
  })
  child.stderr.on('data', (data: Buffer) => {
    stderr += data.toString()
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return { code, signal, stdout, stderr }
}

/** `cloudskin VERB --home HOME …`. */
export function at(peer: ProcessPeer, verb: string, ...args: readonly string[]): string[] {
  return [verb, '--home', peer.home, ...args]
}

/** Starts a first peer and joins the others to it with one ticket. */
export async function meshOf(
  mesh: ProcessMesh,
  names: readonly string[],
  flags: (name: string) => readonly string[] = () => [],
): Promise<ProcessPeer[]> {
  const [first = '', ...others] = names
  const founder = await mesh.start({ name: first, flags: [...QUICK, ...flags(first)] })
  if (others.length === 0) return [founder]
  const ticket = await mesh.ticket(founder, others.length)
  const joined = await Promise.all(
    others.map((name) => mesh.start({ name, flags: [...QUICK, ...flags(name), '--join', ticket] })),
  )
  const all = [founder, ...joined]
  await allAlive(all)
  return all
}

/** Resolves once every one of `peers` sees every other as alive. */
export async function allAlive(peers: readonly ProcessPeer[], timeoutMs = 30_000): Promise<void> {
  for (const peer of peers) {
    await until(
      `${peer.name} sees ${peers.length} peers alive`,
      async () => {
        const rows = await peersSeenBy(peer)
        return peers.every((other) => rows.some((row) => row.peer === other.peer && row.status === 'alive'))
      },
      timeoutMs,
    )
  }
}

/** Resolves once `by` sees `peer` in the state `status`. */
export function sees(
  by: ProcessPeer,
  peer: ProcessPeer,
  status: PeerRow['status'],
  timeoutMs = 40_000,
): Promise<PeerRow> {
  return until(
    `${by.name} sees ${peer.name} as ${status}`,
    async () => (await peersSeenBy(by)).find((row) => row.peer === peer.peer && row.status === status),
    timeoutMs,
  )
}

/** After whatever was done to them: each answers, sees the others alive, and takes a bounded amount of memory. */
export async function expectWell(peers: readonly ProcessPeer[]): Promise<void> {
  await allAlive(peers)
  for (const peer of peers) {
    const { memory } = await peer.client.call<StatusReply>('/status')
    expect(memory.rssBytes, `memory of ${peer.name}`).toBeLessThan(MAX_RSS_BYTES)
    expect(peer.process.exitCode, `${peer.name} has not ended\n${peer.log()}`).toBeNull()
  }
}

/**
 * The flags that bring a peer back on its home, with somebody to ask. Not at its address of before: such a port is one
 * that the system gives to anybody meanwhile.
 */
export function again(...known: readonly ProcessPeer[]): string[] {
  return [...QUICK, ...known.flatMap((one) => ['--join', one.status.addresses[0] ?? ''])]
}

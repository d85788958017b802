// The chapters of the demo, in the order they are told.
import { readFile } from 'node:fs/promises'
import { sha256Hex, utf8 } from '../../core/bytes.ts'
import { systemClock } from '../../core/clock.ts'
import { formatBytes, formatMs, formatTable, shortId } from '../../node/cli/output.ts'
import { peerTable } from '../../node/cli/verbs-mesh.ts'
import type { CellReply, ModelReply, WhyReply } from '../../node/control/api.ts'
import { cellAt, ended, FLITE_PATH, fileOf, migrate, type RunInit, running, samplePath, submit } from '../processes/cells.ts'
import { type ProcessMesh, type ProcessPeer, peersSeenBy } from '../processes/mesh.ts'
import { until } from '../processes/until.ts'
import type { Story } from './story.ts'

/** What an edge peer's cells get of a core: a small board next to a server. */
const EDGE_SHARE = '0.35'
const LABEL_OF = { cloud: 'site=town', edge: 'site=roadside' } as const

export interface Demo {
  readonly mesh: ProcessMesh
  readonly clouds: readonly ProcessPeer[]
  readonly edges: ProcessPeer[]
  /** Cells whose placement the last chapter explains. */
  readonly told: { readonly authority: ProcessPeer; readonly cell: string; readonly what: string }[]
}

export async function joinMesh(story: Story, mesh: ProcessMesh): Promise<Demo> {
  story.chapter('Five peers join through one ticket')
  const flags = (kind: 'cloud' | 'edge'): string[] => [
    ...['--preset', kind, '--zone', kind === 'cloud' ? 'town' : 'valley', '--label', LABEL_OF[kind]],
    ...['--fuel-share', kind === 'cloud' ? '1' : EDGE_SHARE, '--slots', kind === 'cloud' ? '3' : '2', '--round-interval-s', '0'],
  ]
  const first = await mesh.start({ name: 'cloud-1', flags: flags('cloud') })
  const ticket = await mesh.ticket(first, 4)
  story.say(`cloud-1 made the mesh ${first.status.mesh.id.slice(0, 12)} and a ticket for four: ${ticket.slice(0, 24)}…`)
  const join = async (name: string, kind: 'cloud' | 'edge'): Promise<ProcessPeer> =>
    mesh.start({ name, flags: [...flags(kind), '--join', ticket] })
  const clouds = [first, await join('cloud-2', 'cloud')]
  const edges = [await join('edge-1', 'edge'), await join('edge-2', 'edge'), await join('edge-3', 'edge')]
  const everyone = [...clouds, ...edges]
  await until('every peer sees five alive', async () => {
    const views = await Promise.all(everyone.map(peersSeenBy))
    return views.every((rows) => rows.filter((row) => row.status === 'alive').length === 5)
  })
  const { header, rows } = peerTable(await peersSeenBy(first))
  story.say(...formatTable(header, rows))
  story.check('every one of five peers sees five peers alive', true)
  return { mesh, clouds, edges, told: [] }
}

/** Speaks the page three times: never moved, moved edge -> cloud -> edge; resolves with the WAV. */
export async function moveSpeech(story: Story, demo: Demo): Promise<Uint8Array> {
  const page = await readFile(new URL('./page.txt', import.meta.url))
  story.chapter(`A speech synthesiser (flite, ${formatBytes((await readFile(FLITE_PATH)).length)} of WASI) speaks a page, and moves while it speaks`)
  const [edge, otherEdge] = demo.edges as [ProcessPeer, ProcessPeer]
  const cloud = demo.clouds[1] as ProcessPeer
  const program: RunInit = { module: FLITE_PATH, args: ['-f', '/in/page.txt', '-o', '/out/page.wav'], files: { '/in/page.txt': page } }
  const still = await submit(demo.clouds[0] as ProcessPeer, { ...program, on: 'cloud-1' })
  const stillEnd = await ended(demo.clouds[0] as ProcessPeer, still.cell)
  const reference = await fileOf(demo.clouds[0] as ProcessPeer, still.cell, '/out/page.wav')
  story.say(`unmoved on cloud-1: ${ran(stillEnd)}, WAV of ${formatBytes(reference.length)}, sha256 ${sha256Hex(reference).slice(0, 16)}`)

  // A second page makes the manifest, and so the cell, another one; the text is the same.
  const moving = await submit(edge, { ...program, on: 'edge-1' })
  await running(edge, moving.cell)
  const there = await migrate(edge, moving.cell, cloud)
  story.say(`edge-1 -> cloud-2: ${there.outcome}, stopped ${formatMs(there.stopMs ?? 0)}, snapshot ${formatBytes(there.snapshotBytes ?? 0)}`)
  const back = await migrate(edge, moving.cell, otherEdge)
  story.say(`cloud-2 -> edge-2: ${back.outcome}, stopped ${formatMs(back.stopMs ?? 0)}, snapshot ${formatBytes(back.snapshotBytes ?? 0)}`)
  const movedEnd = await ended(edge, moving.cell, 120_000)
  const wav = await fileOf(edge, moving.cell, '/out/page.wav')
  story.say(`moved twice: ${ran(movedEnd)}, WAV of ${formatBytes(wav.length)}, sha256 ${sha256Hex(wav).slice(0, 16)}`)
  story.check('it moved edge -> cloud -> edge while it spoke', there.outcome === 'moved' && back.outcome === 'moved')
  story.check('it ended with exit code 0 on edge-2', movedEnd.exitCode === 0 && movedEnd.host === otherEdge.peer)
  story.check('its WAV is byte for byte that of the unmoved run', wav.length > 100_000 && sha256Hex(wav) === sha256Hex(reference))
  return wav
}

function ran(cell: CellReply): string {
  return `${cell.phase} with exit code ${cell.exitCode}, ran ${formatMs(cell.usage?.busyMs ?? 0)} of ${formatMs(cell.usage?.wallMs ?? 0)}`
}

/** Kills a peer that runs a cell; the others notice, the cell is lost and runs again elsewhere. */
export async function losePeer(story: Story, demo: Demo): Promise<void> {
  story.chapter('A peer is killed, and the others carry on')
  const victim = demo.edges.pop() as ProcessPeer
  const authority = demo.clouds[0] as ProcessPeer
  const cell = await submit(authority, { module: samplePath('sleeper'), args: ['400', '50'], on: victim.name })
  await running(authority, cell.cell)
  const from = systemClock.mono()
  await demo.mesh.kill(victim)
  const survivors = [...demo.clouds, ...demo.edges]
  await until('every survivor lists it as failed', async () => {
    const views = await Promise.all(survivors.map(peersSeenBy))
    return views.every((rows) => rows.find((row) => row.peer === victim.peer)?.status === 'failed')
  })
  const noticedMs = systemClock.mono() - from
  const lost = await ended(authority, cell.cell)
  story.say(`edge-3 was killed (SIGKILL) while it ran a cell; four survivors list it as failed after ${formatMs(noticedMs)}`)
  story.check('every survivor noticed, and keeps the dead peer on its list', true)
  story.check('the cell that ran there shows as lost', lost.phase === 'lost')
  const again = await authority.client.call<CellReply>(`/cells/${cell.cell}/rerun`, { json: {} })
  story.check('run again, it does not wait for the dead peer: it is refused with a reason', again.phase !== 'running')
}

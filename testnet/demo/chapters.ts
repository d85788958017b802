// The chapters of the demo, in the order they are told.
import { readFile } from 'node:fs/promises'
import { sha256Hex, utf8 } from '../../core/bytes.ts'
import { systemClock } from '../../core/clock.ts'
import { formatBytes, formatMs, formatTable, howItMoved } from '../../node/cli/output.ts'
import { peerTable } from '../../node/cli/verbs-mesh.ts'
import type { CellReply, ModelReply, MoveReply, WhyReply } from '../../node/control/api.ts'
import {
  ended,
  FLITE_PATH,
  fileOf,
  migrate,
  type RunInit,
  running,
  samplePath,
  stdoutOf,
  submit,
} from '../processes/cells.ts'
import { type ProcessMesh, type ProcessPeer, peersSeenBy } from '../processes/mesh.ts'
import { until } from '../processes/until.ts'
import type { Story } from './story.ts'

/** What an edge peer's cells get of a core: a small board next to a server. */
const EDGE_SHARE = '0.35'
/** So long the page is read over and over in one go, by what one reading takes: a cloud peer is still at it when the cell moves on. */
const READING_MS = 6_000
const MOST_READINGS = 40
const LABEL_OF = { cloud: 'site=town', edge: 'site=roadside' } as const

export interface Demo {
  readonly mesh: ProcessMesh
  readonly clouds: readonly ProcessPeer[]
  readonly edges: ProcessPeer[]
  /** Of all five peers, for later. */
  readonly names: readonly string[]
  /** Cells whose placement the last chapter explains. */
  readonly told: { readonly authority: ProcessPeer; readonly cell: string; readonly what: string }[]
}

export async function joinMesh(story: Story, mesh: ProcessMesh): Promise<Demo> {
  story.chapter('Five peers join through one ticket')
  const flags = (kind: 'cloud' | 'edge'): string[] => [
    ...['--preset', kind, '--zone', kind === 'cloud' ? 'town' : 'valley', '--label', LABEL_OF[kind]],
    ...[
      '--fuel-share',
      kind === 'cloud' ? '1' : EDGE_SHARE,
      '--slots',
      kind === 'cloud' ? '3' : '2',
      '--round-interval-s',
      '0',
    ],
  ]
  const first = await mesh.start({ name: 'cloud-1', flags: flags('cloud') })
  const ticket = await mesh.ticket(first, 4)
  story.say(`cloud-1 made the mesh ${first.status.mesh.id.slice(0, 12)} and a ticket for four: ${ticket.slice(0, 24)}…`)
  const join = async (name: string, kind: 'cloud' | 'edge'): Promise<ProcessPeer> =>
    mesh.start({ name, flags: [...flags(kind), '--join', ticket] })
  const clouds = [first, await join('cloud-2', 'cloud')]
  const edges = [await join('edge-1', 'edge'), await join('edge-2', 'edge'), await join('edge-3', 'edge')]
  const everyone = [...clouds, ...edges]
  const allSeeAll = async (): Promise<boolean> => {
    const views = await Promise.all(everyone.map(peersSeenBy))
    return views.every((rows) => rows.filter((row) => row.status === 'alive').length === everyone.length)
  }
  await until('every peer sees five alive', allSeeAll)
  const { header, rows } = peerTable(await peersSeenBy(first))
  story.say(...formatTable(header, rows))
  story.check('every one of five peers sees five peers alive', await allSeeAll())
  return { mesh, clouds, edges, names: everyone.map(({ name }) => name), told: [] }
}

/** Speaks a page once wherever it pleases the mesh; then a longer reading twice, unmoved and moved. Resolves with the page's WAV. */
export async function moveSpeech(story: Story, demo: Demo): Promise<Uint8Array> {
  const page = await readFile(new URL('./page.txt', import.meta.url))
  const size = formatBytes((await readFile(FLITE_PATH)).length)
  story.chapter(`A speech synthesiser (flite, ${size} of WASI) speaks a page, and moves while it speaks`)
  const [edge, otherEdge] = demo.edges as [ProcessPeer, ProcessPeer]
  const [home, cloud] = demo.clouds as [ProcessPeer, ProcessPeer]
  const once = await submit(home, speak(page))
  const onceEnd = await ended(home, once.cell)
  const wav = await fileOf(home, once.cell, '/out/page.wav')
  demo.told.push({ authority: home, cell: once.cell, what: 'the page, spoken' })
  story.say(`the page: ${ran(onceEnd)} on ${onceEnd.hostName}, WAV of ${formatBytes(wav.length)}`)

  // Every peer on the way says a word first: a module that was never there would have to be fetched before the move.
  const words = [cloud, edge, otherEdge].map(async (peer) => {
    const word = await submit(edge, { ...speak(utf8('ready')), on: peer.name })
    return ended(edge, word.cell)
  })
  await Promise.all(words)
  const readings = Math.min(MOST_READINGS, Math.ceil(READING_MS / (onceEnd.usage?.busyMs || READING_MS)))
  const text = utf8(page.toString().repeat(readings))
  const still = await submit(edge, { ...speak(text), on: 'cloud-1' })
  const stillEnd = await ended(edge, still.cell)
  const reference = await fileOf(edge, still.cell, '/out/page.wav')
  story.say(`the page ${readings} times over, unmoved on cloud-1: ${ran(stillEnd)}, ${describe(reference)}`)

  const moving = await submit(edge, { ...speak(text), on: 'edge-1' })
  await running(edge, moving.cell)
  const there = await migrate(edge, moving.cell, cloud)
  story.say(`edge-1 -> cloud-2: ${describeMove(there)}`)
  const back = await migrate(edge, moving.cell, otherEdge)
  story.say(`cloud-2 -> edge-2: ${describeMove(back)}`)
  const movedEnd = await ended(edge, moving.cell, 120_000)
  const moved = await fileOf(edge, moving.cell, '/out/page.wav')
  story.say(`the same, moved twice: ${ran(movedEnd)}, ${describe(moved)}`)
  story.check('it moved edge -> cloud -> edge while it spoke', there.outcome === 'moved' && back.outcome === 'moved')
  story.check('it ended with exit code 0 on edge-2', movedEnd.exitCode === 0 && movedEnd.host === otherEdge.peer)
  const same = moved.length > wav.length && sha256Hex(moved) === sha256Hex(reference)
  story.check('its WAV is byte for byte that of the unmoved run', same)
  return wav
}

function speak(text: Uint8Array): RunInit {
  return { module: FLITE_PATH, args: ['-f', '/in/page.txt', '-o', '/out/page.wav'], files: { '/in/page.txt': text } }
}

function describe(wav: Uint8Array): string {
  return `WAV of ${formatBytes(wav.length)}, sha256 ${sha256Hex(wav).slice(0, 16)}`
}

function describeMove(move: MoveReply): string {
  if (move.outcome !== 'moved') return `${move.outcome}: ${move.reason}`
  return `moved, ${howItMoved(move)}`
}

function ran(cell: CellReply): string {
  return `${cell.phase} with exit code ${cell.exitCode}, ran ${formatMs(cell.usage?.busyMs ?? 0)} of ${formatMs(cell.usage?.wallMs ?? 0)}`
}

/** Four programs of our own on real input: the speech becomes a picture, the picture is filtered, the words are counted. */
export async function runSamples(story: Story, demo: Demo, wav: Uint8Array): Promise<void> {
  story.chapter('Our own samples, each on what another program has made')
  const page = await readFile(new URL('./page.txt', import.meta.url))
  const [authority] = demo.clouds as [ProcessPeer]
  const run = async (what: string, init: RunInit): Promise<CellReply> => {
    const { cell } = await submit(authority, init)
    const end = await ended(authority, cell)
    demo.told.push({ authority, cell, what })
    story.say(`${what}: ${ran(end)} on ${end.hostName}`)
    return end
  }
  const spectrum = await run('spectrum of the speech', {
    module: samplePath('spectrum'),
    args: ['/in/page.wav', '/out/page.pgm', '1024'],
    files: { '/in/page.wav': wav },
  })
  const picture = await fileOf(authority, spectrum.cell, '/out/page.pgm')
  const edges = await run('edges in that picture', {
    module: samplePath('edges'),
    args: ['/in/page.pgm', '/out/edges.pgm', '4'],
    files: { '/in/page.pgm': picture },
  })
  const filtered = await fileOf(authority, edges.cell, '/out/edges.pgm')
  const checksum = await run('checksum of the speech', {
    module: samplePath('checksum'),
    args: ['/in/page.wav'],
    files: { '/in/page.wav': wav },
  })
  const words =
    page
      .toString()
      .toLowerCase()
      .match(/[a-z]+/g) ?? []
  const counted = await run('words of the page in a key-value store', {
    module: samplePath('kvstore'),
    args: ['/in/log.txt', '/out/words.txt', '20'],
    files: { '/in/log.txt': utf8(`${words.map((word) => `add ${word} 1`).join('\n')}\nget cabinet\n`) },
  })
  const results = [spectrum, edges, checksum, counted]
  story.check(
    'all four ended with exit code 0',
    results.every((cell) => cell.exitCode === 0),
  )
  story.check('the edges have the size of the picture they were found in', sizeOf(filtered) === sizeOf(picture))
  const said = await stdoutOf(authority, checksum.cell)
  story.check('the checksum computed in the mesh is the one computed here', said.includes(sha256Hex(wav)))
  const where = new Set(results.map((cell) => cell.host))
  story.say(`${results.length} cells ran on ${where.size} ${where.size === 1 ? 'peer' : 'peers'}`)
}

/** Width and height of a PGM. */
function sizeOf(picture: Uint8Array): string {
  return Buffer.from(picture.subarray(0, 64))
    .toString('latin1')
    .replace(/#.*\n/g, '')
    .split(/\s+/)
    .slice(1, 3)
    .join('x')
}

/** Kills a peer that runs a cell; the others notice, the cell is lost, and runs again elsewhere. */
export async function losePeer(story: Story, demo: Demo): Promise<void> {
  story.chapter('A peer is killed, and the others carry on')
  const victim = demo.edges.pop() as ProcessPeer
  const [authority] = demo.clouds as [ProcessPeer]
  const bystander = demo.edges[0] as ProcessPeer
  // It is put on the victim by a move, so that nothing ties it there when it runs again.
  const cell = await submit(authority, { module: samplePath('sleeper'), args: ['40', '250'] })
  const begun = await running(authority, cell.cell)
  const put = begun.host === victim.peer ? undefined : await migrate(authority, cell.cell, victim)
  const other = await submit(bystander, { module: samplePath('sleeper'), args: ['40', '100'], on: bystander.name })
  await running(bystander, other.cell)
  const from = systemClock.mono()
  await demo.mesh.kill(victim)
  const survivors = [...demo.clouds, ...demo.edges]
  await until('every survivor lists it as failed', async () => {
    const views = await Promise.all(survivors.map(peersSeenBy))
    return views.every((rows) => rows.find((row) => row.peer === victim.peer)?.status === 'failed')
  })
  story.say(
    `edge-3 was killed (SIGKILL) while it ran a cell; all four survivors list it as failed after ${formatMs(systemClock.mono() - from)}`,
  )
  const lost = await ended(authority, cell.cell)
  story.check(
    'a cell that sleeps was moved to edge-3 between two of its lines',
    put === undefined || put.outcome === 'moved',
  )
  story.check(
    'the cell that ran on edge-3 shows as lost, and says why',
    lost.phase === 'lost' && lost.error?.code === 'CELL_LOST',
  )
  const again = await authority.client.call<CellReply>(`/cells/${cell.cell}/rerun`, { json: {} })
  const reborn = await running(authority, again.cell)
  story.check('run again, it runs on a survivor', reborn.host !== victim.peer)
  await authority.client.call(`/cells/${again.cell}/stop`, { json: {} })
  const end = await ended(bystander, other.cell)
  story.check(
    'a cell on another peer never noticed',
    end.exitCode === 0 && (await stdoutOf(bystander, other.cell)).split('\n').length === 41,
  )
}

/** Enough short cells on every peer to learn from, then rounds; the losses are those on runs that were held out. */
export async function learnTogether(story: Story, demo: Demo): Promise<void> {
  story.chapter('The peers learn together how long cells take where')
  const peers = [...demo.clouds, ...demo.edges]
  const from = systemClock.mono()
  const counts = await Promise.all(peers.map((peer, index) => runBatch(peer, index)))
  const cells = counts.reduce((sum, count) => sum + count, 0)
  story.say(`${cells} short cells ran, each peer its own mixture, in ${formatMs(systemClock.mono() - from)}`)
  const before = await Promise.all(peers.map(modelOf))
  const first = before.map((model) => model.loss?.model ?? Number.NaN)
  const together = (): Promise<ModelReply[]> =>
    until('all peers have the same version', async () => {
      const models = await Promise.all(peers.map(modelOf))
      return new Set(models.map((model) => model.version)).size === 1 && models
    })
  for (let round = 0; round < ROUNDS; round++) {
    // One that still stores the last version would only say again how that round ended.
    await together()
    const opener = peers[round % peers.length] as ProcessPeer
    const { history } = await opener.client.call<ModelReply>('/model/round', { json: {} })
    const last = history.at(-1)
    story.say(
      last?.outcome === 'committed'
        ? `round ${last.round}, opened by ${opener.name}: ${last.contributors} contributors, loss there ${last.lossBefore?.toFixed(3)} -> ${last.lossAfter?.toFixed(3)}`
        : `round ${last?.round}, opened by ${opener.name}: ${last?.outcome}, ${last?.reason}`,
    )
  }
  const after = await together()
  const rows = after.map((model, index) => {
    const committed = model.history.filter((round) => round.outcome === 'committed')
    const local = committed[0]?.lossLocal
    return [
      peers[index]?.name ?? '',
      String(model.samples),
      (first[index] ?? Number.NaN).toFixed(3),
      local?.toFixed(3) ?? '?',
      (model.loss?.model ?? Number.NaN).toFixed(3),
      (model.loss?.heuristic ?? Number.NaN).toFixed(3),
      model.decides,
    ]
  })
  story.say('mean absolute error of ln(milliseconds), on runs that were held out:')
  story.say(...formatTable(['PEER', 'RUNS', 'BEFORE', 'ALONE', 'JOINT', 'HEURISTIC', 'DECIDES'], rows))
  const mean = (losses: readonly number[]): number => losses.reduce((sum, loss) => sum + loss, 0) / losses.length
  const joint = after.map((model) => model.loss?.model ?? Number.NaN)
  const contributors = after[0]?.contributors.length ?? 0
  story.say(
    `round ${after[0]?.round}, ${contributors} contributors in the last one, version ${after[0]?.version.slice(0, 12)} on all four; mean loss ${mean(first).toFixed(3)} -> ${mean(joint).toFixed(3)}`,
  )
  story.check(
    'every peer that is left has the same version of the model',
    after.every((model) => model.round > 0 && model.version === after[0]?.version),
  )
  story.check('the joint model predicts better than the untrained one, over all peers', mean(joint) < mean(first))
}

const ROUNDS = 6

async function modelOf(peer: ProcessPeer): Promise<ModelReply> {
  return peer.client.call<ModelReply>('/model')
}

/** Every peer likes some work more than other work, as real ones do. */
async function runBatch(peer: ProcessPeer, index: number): Promise<number> {
  const work: readonly RunInit[] = [
    ...[1_000_000, 3_000_000, 10_000_000].map((limit) => ({ module: samplePath('primes'), args: [String(limit)] })),
    ...[96, 192, 288].map((size) => ({ module: samplePath('matmul'), args: [String(size)] })),
    ...[9, 10, 11].map((size) => ({ module: samplePath('queens'), args: [String(size)] })),
  ]
  let done = 0
  for (let n = 0; n < CELLS_PER_PEER; n++) {
    const init = work[(n * (index + 2) + index) % work.length] as RunInit
    const { cell } = await submit(peer, { ...init, on: peer.name })
    const end = await ended(peer, cell)
    if (end.exitCode === 0) done++
  }
  return done
}

const CELLS_PER_PEER = 40

/** What was placed where, and why. */
export async function sayWhatWent(story: Story, demo: Demo): Promise<void> {
  story.chapter('What was placed where, and why')
  const unexplained: string[] = []
  for (const { authority, cell, what } of demo.told) {
    const { lines } = await authority.client.call<WhyReply>(`/cells/${cell}/why`)
    story.say(`${what} (${cell.slice(0, 12)}):`, ...lines.map((line) => `  ${line}`))
    if (!demo.names.every((name) => lines.some((line) => line.includes(name)))) unexplained.push(what)
  }
  story.check(
    'every placement says why, and names every peer that there was',
    demo.told.length > 0 && unexplained.length === 0,
  )
}

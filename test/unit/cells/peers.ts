// Peers with everything that deals with cells, and toys for the rest: programs, the view of the mesh, the disk's records.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultLogger } from '@libp2p/logger'
import { type Clock, systemClock } from '../../../core/clock.ts'
import { CodedError } from '../../../core/errors.ts'
import { systemRandom } from '../../../core/random.ts'
import { FileImageStore } from '../../../node/adapters/image-store.ts'
import { FileBlobStore } from '../../../node/blob-store.ts'
import { Authority } from '../../../node/cells/authority.ts'
import { BlobAccess } from '../../../node/cells/blob-access.ts'
import { CellBook } from '../../../node/cells/cell-book.ts'
import { Desk } from '../../../node/cells/desk.ts'
import { HostMoves } from '../../../node/cells/host-moves.ts'
import { HostingPort } from '../../../node/cells/host-port.ts'
import { Hosting } from '../../../node/cells/hosting.ts'
import { ModuleFactsCache } from '../../../node/cells/module-facts.ts'
import type { ChoiceInit, RecordStore } from '../../../node/cells/types.ts'
import type { CellReply, SubmitRequest } from '../../../node/control/api.ts'
import { decide, type PeerFacts, recordOf } from '../../../node/decide/index.ts'
import { blobService } from '../../../protocols/blobs/index.ts'
import { withLoopback } from '../../../protocols/kit/loopback.ts'
import type { MemoryMesh } from '../../../protocols/kit/memory-network.ts'
import type { Network, PeerKey, Signer } from '../../../protocols/kit/types.ts'
import { type Deadlines, type Migration, migration } from '../../../protocols/migration/index.ts'
import { type Ask, type Placement, placement } from '../../../protocols/placement/index.ts'
import { eventually } from '../../support/eventually.ts'
import { newSigner } from '../placement/manifests.ts'
import { ToyEngine, type ToyProgram } from './toy-engine.ts'

const FREE = { memoryBytes: 1 << 30, diskBytes: 1 << 30 }

export class Records implements RecordStore {
  readonly kept: Map<string, Uint8Array>
  /** Writes fail while it is, and those of a process that was killed for ever. */
  full = false
  onPut: ((record: Uint8Array) => void) | undefined

  constructor(kept: Map<string, Uint8Array>) {
    this.kept = kept
  }

  async put(key: string, record: Uint8Array): Promise<void> {
    this.#write()
    this.kept.set(key, record)
    this.onPut?.(record)
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    return this.kept.get(key)
  }

  async list(): Promise<readonly (readonly [string, Uint8Array])[]> {
    return [...this.kept]
  }

  async remove(key: string): Promise<void> {
    this.#write()
    this.kept.delete(key)
  }

  #write(): void {
    if (this.full) throw new CodedError('HOME_FULL', 'no space left on device')
  }
}

type Kept = Map<string, Uint8Array>

/** What of a peer outlives its process. */
interface Home {
  readonly signer: Signer
  readonly path: string
  readonly kept: { readonly hosted: Kept; readonly cells: Kept; readonly moves: Kept }
}

/** One process of a peer, from `start` to `kill`. */
export class CellPeer {
  readonly home: Home
  readonly records: { readonly hosted: Records; readonly cells: Records; readonly moves: Records }
  readonly key: PeerKey
  readonly engine = new ToyEngine()
  readonly hosting: Hosting
  readonly migration: Migration
  readonly placement: Placement
  readonly book: CellBook
  readonly authority: Authority
  readonly desk: Desk
  readonly store: FileBlobStore
  readonly blobs: ReturnType<typeof blobService>
  readonly #moves: HostMoves
  readonly #images: FileImageStore
  readonly #cluster: CellPeers
  labels: Record<string, string> = {}
  wasKilled = false

  constructor(home: Home, network: Network, cluster: CellPeers) {
    this.home = home
    this.key = home.signer.self
    const { hosted, cells, moves } = home.kept
    this.records = { hosted: new Records(hosted), cells: new Records(cells), moves: new Records(moves) }
    const { records } = this
    this.#cluster = cluster
    const { signer } = home
    const [clock, random, log] = [cluster.clock, systemRandom, defaultLogger().forComponent('test')]
    const { engine } = this
    this.store = new FileBlobStore({ home: home.path })
    const access = new BlobAccess()
    this.blobs = blobService({ network, store: this.store, policy: access, log })
    const facts = new ModuleFactsCache(engine, this.store)
    const { store, blobs } = this
    this.hosting = new Hosting({
      engine,
      records: records.hosted,
      store,
      blobs,
      access,
      facts,
      capacity: {
        slots: 8,
        cellMemoryBytes: 1 << 30,
        wallMs: 600_000,
        free: () => FREE,
        labels: this.labels,
        zone: 'here',
      },
      self: this.key,
      clock,
      log,
      onFinished: () => undefined,
      onChange: () => undefined,
    })
    this.book = new CellBook(records.cells, join(home.path, 'cells'))
    const chooser = {
      choose: (ask: Ask, _manifest: unknown, init?: ChoiceInit) => cluster.choose(this.key, ask, init),
      placed: () => undefined,
    }
    const names = { nameOf: (peer: string) => peer.slice(-6), find: (text: string) => [text] }
    const { book } = this
    this.authority = new Authority({
      book,
      store,
      blobs,
      access,
      facts,
      chooser,
      names,
      isAlive: (peer) => cluster.isUp(peer),
      onConcluded: () => undefined,
      signer,
      clock,
      random,
      log,
    })
    this.placement = placement({
      network,
      clock,
      random,
      host: new HostingPort(this.hosting),
      authority: this.authority,
      log,
    })
    this.#moves = new HostMoves(this.hosting)
    this.#images = new FileImageStore(home.path)
    this.migration = migration({
      network,
      clock,
      random,
      source: this.#moves.source,
      destination: this.#moves.destination,
      journal: records.moves,
      images: this.#images,
      onError: () => undefined,
      deadlines: cluster.deadlines,
    })
    this.hosting.attach(this.placement, this.#moves)
    this.authority.attach(this.placement)
    this.#moves.attach(this.migration, this.placement)
    this.desk = new Desk({
      book,
      authority: this.authority,
      hosting: this.hosting,
      placement: this.placement,
      blobs,
      store,
      facts,
      chooser,
      names,
      self: this.key,
      clock,
    })
  }

  async start(): Promise<void> {
    await this.store.start()
    await this.#images.start()
    await this.book.load()
    await this.blobs.start()
    await this.placement.start()
    await this.hosting.start()
    await this.migration.start()
    await this.#moves.settle()
    await this.authority.start()
  }

  /** From one moment to the next nobody reaches it and it writes nothing more. */
  async kill(): Promise<void> {
    this.wasKilled = true
    this.#cluster.mesh.kill(this.key)
    for (const records of Object.values(this.records)) records.full = true
    await this.stop()
  }

  async stop(): Promise<void> {
    await this.authority.stop()
    await this.migration.stop()
    await this.hosting.stop()
    await this.placement.stop()
    await this.blobs.stop()
    await this.book.close()
    await this.store.stop()
  }

  /** Accepts a cell and resolves once its program runs at a host. */
  async run(request: Partial<SubmitRequest> = {}): Promise<{ cell: string; program: ToyProgram }> {
    const { cell } = await this.submit(request)
    await this.reaches(cell, 'running')
    return { cell, program: this.#cluster.program(cell) }
  }

  async submit(request: Partial<SubmitRequest> = {}): Promise<CellReply> {
    const module = await this.store.put(new Uint8Array([0, 97, 115, 109]))
    return this.desk.submit({
      name: 'toy',
      module,
      args: ['toy'],
      env: {},
      inputs: [],
      outputs: [],
      limits: {},
      constraints: { labels: {} },
      ...request,
    })
  }

  reaches(cell: string, phase: CellReply['phase']): Promise<CellReply> {
    return eventually(() => {
      const reply = this.desk.get(cell)
      if (reply.phase !== phase) throw new Error(`it is ${reply.phase}: ${JSON.stringify(reply.error ?? {})}`)
      return reply
    })
  }

  async stdout(cell: string): Promise<string> {
    let text = ''
    for await (const event of this.desk.events(cell, false, AbortSignal.timeout(5_000)))
      if (event.kind === 'output' && event.stream === 'stdout') text += Buffer.from(event.base64, 'base64').toString()
    return text
  }
}

export class CellPeers {
  readonly mesh: MemoryMesh
  /** Short where a test waits for a deadline to pass. */
  deadlines: Partial<Deadlines> = { askMs: 20, askMaxMs: 100, handOverMs: 500, retryMs: 20, retryMaxMs: 100 }
  /** Who is offered new cells, the best first; and how many more there are. */
  hosts: PeerKey[] = []
  unconsidered = 0
  clock: Clock = systemClock
  readonly #up = new Map<PeerKey, CellPeer>()
  readonly #homes: Home[] = []

  constructor(mesh: MemoryMesh) {
    this.mesh = mesh
  }

  async peer(): Promise<CellPeer> {
    const path = await mkdtemp(join(tmpdir(), 'cloudskin-cells-'))
    const kept = { hosted: new Map(), cells: new Map(), moves: new Map() }
    const home = { signer: await newSigner(), path, kept }
    this.#homes.push(home)
    return this.boot(home)
  }

  async boot(home: Home, beforeStart?: (peer: CellPeer) => void): Promise<CellPeer> {
    const peer = new CellPeer(home, withLoopback(this.mesh.join(home.signer.self)), this)
    beforeStart?.(peer)
    this.#up.set(peer.key, peer)
    await peer.start()
    return peer
  }

  isUp(peer: PeerKey): boolean {
    return this.#up.get(peer)?.wasKilled === false
  }

  /** Every program of the cell that runs now. */
  running(cell: string): readonly ToyProgram[] {
    const up = [...this.#up.values()].filter(({ wasKilled }) => !wasKilled)
    return up.flatMap(({ engine }) => engine.programs.filter((one) => one.id === cell && one.isRunning))
  }

  /** The one program of the cell. */
  program(cell: string): ToyProgram {
    const [program, ...others] = this.running(cell)
    if (program === undefined || others.length > 0) throw new Error(`${others.length + 1} programs of the cell run`)
    return program
  }

  /** The placement that {@link hosts} asks for. */
  choose(self: PeerKey, ask: Ask, { exclude = [] }: ChoiceInit = {}) {
    const hosts = this.hosts.filter((peer) => !exclude.some((one) => one.peer === peer))
    const peers = hosts.map((peer) => factsOf(peer, peer === self))
    const cell = {
      ...ask,
      moduleBytes: 1,
      inputBytes: 0,
      memoryBytes: 1,
      diskBytes: 1,
      constraints: { labels: {}, notPeers: [] },
      opcodeFeatures: [],
      args: [],
    }
    const mesh = { at: systemClock.now(), peers }
    const predictor = { predict: () => ({ ms: 1, by: 'spec-cost' as const }) }
    const decision = decide(cell, mesh, predictor, systemRandom)
    const candidates = hosts.map((peer, i) => ({ peer, fixedMs: i, moduleFetchMs: 0 }))
    return {
      candidates,
      decision: { ...recordOf(decision, 'place'), unconsidered: this.unconsidered },
      later: decision.later,
    }
  }

  async end(): Promise<void> {
    for (const peer of this.#up.values()) if (!peer.wasKilled) await peer.stop()
    for (const { path } of this.#homes) await rm(path, { recursive: true, force: true })
  }
}

function factsOf(peer: PeerKey, self: boolean): PeerFacts {
  return {
    peer,
    name: peer.slice(-6),
    status: 'alive',
    self,
    zone: 'here',
    labels: {},
    roles: ['host'],
    cores: 1,
    freeMemoryBytes: 1 << 30,
    freeDiskBytes: 1 << 30,
    freeSlots: 8,
    backlogMs: 0,
    calibration: {},
    fuelShare: 1,
    modules: [],
  }
}

// The peer: the one place where the parts meet, in written order. What is started first is stopped last.
import { join as joinPath } from 'node:path'
import type { Libp2p, Logger } from '@libp2p/interface'
import { cellEngine, wallsOf } from '../cells/index.ts'
import type { Clock } from '../core/clock.ts'
import { collectGarbage } from '../core/garbage.ts'
import type { Startable } from '../core/lifecycle.ts'
import { systemRandom } from '../core/random.ts'
import { PlacementModel } from '../fl/index.ts'
import { type Admission, type AdmissionGate, admission, type Membership } from '../protocols/admission/index.ts'
import { blobService } from '../protocols/blobs/index.ts'
import { federatedService } from '../protocols/federated/index.ts'
import { Libp2pNetwork } from '../protocols/kit/libp2p-network.ts'
import { withLoopback } from '../protocols/kit/loopback.ts'
import { signerOf } from '../protocols/kit/signing.ts'
import { migration } from '../protocols/migration/index.ts'
import { placement } from '../protocols/placement/index.ts'
import { type StateStatus, stateService } from '../protocols/state/index.ts'
import { PlacementChooser } from './adapters/chooser.ts'
import { FileImageStore } from './adapters/image-store.ts'
import { Learning, loadHeuristic } from './adapters/learning.ts'
import { modelStoreOn, sampleStoreOn } from './adapters/learning-stores.ts'
import { isAliveIn, knownIn, namesIn } from './adapters/mesh-facts.ts'
import { placementParticipant } from './adapters/placement-learning.ts'
import { destinationByRole, hostByRole, viewByRole } from './adapters/roles.ts'
import { ticketStoreOn } from './adapters/ticket-store.ts'
import { FileBlobStore } from './blob-store.ts'
import { calibrationOf } from './calibration.ts'
import { Authority } from './cells/authority.ts'
import { BlobAccess } from './cells/blob-access.ts'
import { CellBook } from './cells/cell-book.ts'
import { Desk } from './cells/desk.ts'
import { HostMoves } from './cells/host-moves.ts'
import { HostingPort } from './cells/host-port.ts'
import { Hosting } from './cells/hosting.ts'
import { ModuleFactsCache } from './cells/module-facts.ts'
import { namedObjects } from './cells/named-objects.ts'
import type { Options } from './config/options.ts'
import { Connector, type KnownPeer } from './connector.ts'
import { Contacts } from './contacts.ts'
import type { ConfigReply, ModelReply, StatusReply } from './control/api.ts'
import { ControlServer } from './control/server.ts'
import { GivenAddresses } from './given.ts'
import { Home } from './home.ts'
import { loadIdentity, loadOwner, saveMembership } from './identity.ts'
import { createNode, roundTripsOf } from './libp2p.ts'
import { type LogLevel, loggerOf } from './log.ts'
import { join, planMembership } from './membership.ts'
import { Nearby } from './nearby.ts'
import { ownFields } from './own-record.ts'
import { machineLabels, ResourceMonitor } from './resources/index.ts'
import { routesOf } from './routes.ts'
import { VERSION } from './version.ts'

/** How long a peer that goes down waits for the authorities of its cells to hear of it. */
const DRAIN_MS = 3_000
const FIRST_TICKET_MS = 3_600_000

export interface PeerInit {
  readonly home: string
  readonly options: Options
  /** The options with their origins, for who asks. @default nothing is told */
  readonly config?: ConfigReply
  readonly clock: Clock
}

export interface Peer extends Startable {
  status(): StatusReply
  /** A ticket for one more device, where this peer may invite. */
  joinTicket(): Promise<string | undefined>
  /** Resolves when somebody asked for `down`. */
  readonly downRequested: Promise<void>
}

/** What `start` has undone when it fails half-way, and `stop` undoes in full: the last begun first. */
class Undo {
  readonly #steps: (() => Promise<unknown>)[] = []

  add(step: () => Promise<unknown>): void {
    this.#steps.push(step)
  }

  async begin(part: Startable): Promise<void> {
    await part.start()
    this.add(() => part.stop())
  }

  async all(log: Logger): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await step()
      } catch (error) {
        log.error('while going down: %e', error)
      }
    }
  }
}

export async function createPeer(init: PeerInit): Promise<Peer> {
  return new WiredPeer(init)
}

class WiredPeer implements Peer {
  readonly #init: PeerInit
  readonly #undo = new Undo()
  readonly #log: Logger
  readonly downRequested: Promise<void>
  #goDown: () => void = () => undefined
  #status: (() => StatusReply) | undefined
  #joinTicket: (() => Promise<string | undefined>) | undefined

  constructor(init: PeerInit) {
    this.#init = init
    this.#log = this.#logger('peer')
    this.downRequested = new Promise((resolve) => {
      this.#goDown = resolve
    })
  }

  async start(): Promise<void> {
    if (this.#status !== undefined) return
    try {
      await this.#start()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  async stop(): Promise<void> {
    await this.#undo.all(this.#log)
    this.#status = undefined
  }

  status(): StatusReply {
    if (this.#status === undefined) throw new Error('the peer is not started')
    return this.#status()
  }

  async joinTicket(): Promise<string | undefined> {
    return this.#joinTicket?.()
  }

  // The order in which a peer comes to be. One long function, because it is one list.
  // biome-ignore lint/complexity/noExcessiveLinesPerFunction: wiring reads best from top to bottom
  async #start(): Promise<void> {
    const { options, clock } = this.#init
    const undo = this.#undo
    const random = systemRandom
    const startedAt = clock.mono()

    // the home, who we are, and where we belong
    const home = await Home.open(this.#init.home)
    undo.add(() => home.close())
    const identity = await loadIdentity(home.path)
    const signer = signerOf(identity)
    const plan = await planMembership(home.path, options, { identity, clock, random })
    // After the plan, which makes the owner key of a new mesh.
    const owner = await loadOwner(home.path)

    // the network
    const nearby = new Nearby(clock)
    let gate: AdmissionGate | undefined
    let whereIs: (peer: string) => readonly string[] = () => []
    const node = await createNode({
      key: identity,
      listen: options.listen,
      announce: options.announce,
      bootstrap: plan.bootstrap,
      gate: () => gate,
      whereIs: (peer) => whereIs(peer),
      ...(options.mdns ? { nearby } : {}),
      ...(plan.psk === undefined ? {} : { psk: plan.psk }),
    })
    undo.add(async () => node.stop())
    const membership = plan.membership ?? (await this.#join(home, node, plan.ticket))
    const gatekeeper = admission({
      membership,
      signer,
      tickets: ticketStoreOn(home.records('tickets')),
      clock,
      random,
      log: this.#logger('admission'),
      agentVersion: VERSION,
      onRenewed: async (certificate) => {
        if (membership.kind === 'closed') await saveMembership(home.path, { ...membership, certificate })
      },
      ...(owner === undefined ? {} : { owner: signerOf(owner) }),
    })
    const log = this.#logger('network')
    const wire = new Libp2pNetwork({ node, gate: gatekeeper.gate, clock, log, measure: roundTripsOf(node) })
    const network = withLoopback(wire)
    gatekeeper.attach(network)
    gate = gatekeeper.gate

    // what it knows of the mesh and of the machine
    const state = stateService({ network, signer, clock, random, log: this.#logger('state') })
    const { view } = state
    whereIs = (peer) => view.get(peer)?.record.addresses ?? []
    const names = namesIn(view)
    const resources = new ResourceMonitor({ home: home.path, clock, log: this.#logger('resources') })

    // objects and programs
    let areCellsKnown = false
    const store: FileBlobStore = new FileBlobStore({
      home: home.path,
      quotaBytes: options['blob-quota-mb'] * 1024 * 1024,
      needed: () => (areCellsKnown ? namedObjects(book.entries(), hosting.all(), authority.awaited()) : undefined),
      clock,
    })
    const access = new BlobAccess()
    const blobs = blobService({ network, store, policy: access, log: this.#logger('blobs') })
    const engine = cellEngine({ fuelShare: options['fuel-share'], clock, folder: joinPath(home.path, 'scratch') })
    const facts = new ModuleFactsCache(engine, store)

    // learning and deciding
    const learned = home.records('learning')
    const model = new PlacementModel({
      samples: sampleStoreOn(home.records('runs')),
      model: modelStoreOn(home.records('model')),
    })
    let calibration: Readonly<Record<string, number>> = {}
    const heuristic = await loadHeuristic(learned, () => ({ calibration, fuelShare: options['fuel-share'] }))
    const learning = new Learning({
      model,
      heuristic,
      view,
      facts,
      records: learned,
      clock,
      log: this.#logger('learning'),
    })
    const chooser = new PlacementChooser({ view: viewByRole(view, gatekeeper), model, heuristic, clock, random })
    const rounds = federatedService({
      network,
      clock,
      random,
      participant: placementParticipant(model, signer.self),
      members: () =>
        view
          .peers()
          .filter(({ self, status }) => !self && status === 'alive')
          .map(({ record }) => record.peer),
      intervalMs: options['round-interval-s'] * 1000,
      log: this.#logger('rounds'),
    })

    // the cells: those we run and those we own
    let sample = await resources.sample()
    const labels = machineLabels(options.label)
    const hosting = new Hosting({
      engine,
      records: home.records('hosted'),
      store,
      blobs,
      access,
      facts,
      capacity: {
        slots: options.slots,
        cellMemoryBytes: options['cell-memory-mb'] * 1024 * 1024,
        wallMs: options['cell-wall-s'] * 1000,
        free: () => ({ memoryBytes: sample.memoryFreeBytes, diskBytes: sample.diskFreeBytes }),
        labels,
        zone: options.zone,
      },
      self: signer.self,
      clock,
      log: this.#logger('hosting'),
      onFinished: (run) => learning.hosted(run),
      onChange: () => publish(),
    })
    const book = new CellBook(home.records('cells'), joinPath(home.path, 'cells'))
    const authority = new Authority({
      book,
      store,
      blobs,
      access,
      facts,
      chooser,
      names,
      isAlive: (peer) => isAliveIn(view, peer),
      onConcluded: (record, manifest) => learning.placed(record, manifest),
      signer,
      clock,
      random,
      log: this.#logger('authority'),
    })
    const placing = placement({
      network,
      clock,
      random,
      host: hostByRole(new HostingPort(hosting), gatekeeper),
      authority,
      log: this.#logger('placement'),
    })
    const moves = new HostMoves(hosting)
    const images = new FileImageStore(home.path)
    const moving = migration({
      network,
      clock,
      random,
      source: moves.source,
      destination: destinationByRole(moves.destination, gatekeeper),
      journal: home.records('moves'),
      images,
      beforeStop: collectGarbage,
      onError: (error, what) => this.#logger('migration').error('%s: %e', what, error),
    })
    hosting.attach(placing, moves)
    authority.attach(placing)
    moves.attach(moving, placing)

    const parts = { options, labels, node, hosting, placement: placing, facts, model, roles: gatekeeper.roles }
    const publish = (): void => state.publish(ownFields(parts, sample, calibration))

    // now in order
    await store.start()
    undo.add(() => store.stop())
    await images.start()
    await model.load()
    await book.load()
    undo.add(() => book.close())
    await undo.begin(engine)
    if (options.calibrate && options.slots > 0) {
      calibration = await calibrationOf(engine, learned, options['fuel-share'], this.#log)
    }
    await undo.begin(gatekeeper)
    await undo.begin(wire)
    const unwatch = resources.onChange((now) => {
      sample = now
      publish()
    })
    undo.add(async () => unwatch())
    await undo.begin(resources)
    publish()
    await undo.begin(blobs)
    await undo.begin(placing)
    await undo.begin(hosting)
    areCellsKnown = true
    await undo.begin(moving)
    await moves.settle()
    await undo.begin(state)
    await undo.begin(authority)
    undo.add(() => learning.settled())
    await undo.begin(rounds)
    const contacts = new Contacts({
      records: home.records('contacts'),
      given: plan.bootstrap,
      live: () => knownIn(view),
      hasLeft: (peer) => view.get(peer)?.status === 'left',
      clock,
      log: this.#logger('contacts'),
    })
    await undo.begin(contacts)
    const connectorLog = this.#logger('connector')
    const known = (): readonly KnownPeer[] => nearby.joinedTo(contacts.known())
    await undo.begin(new Connector({ node, known, clock, random, log: connectorLog }))
    const members = () => wire.connected()
    await undo.begin(
      new GivenAddresses({ self: signer.self, given: plan.bootstrap, members, clock, log: connectorLog }),
    )
    undo.add(() => state.leave())
    undo.add(() => hosting.drain(AbortSignal.timeout(DRAIN_MS)))

    const addresses = (): string[] => node.getMultiaddrs().map(String)
    this.#status = () => ({
      peer: signer.self,
      name: options.name,
      preset: options.preset,
      zone: options.zone,
      version: VERSION,
      pid: process.pid,
      home: home.path,
      socket: home.socketPath,
      addresses: addresses(),
      mesh: {
        id: membership.kind === 'open' ? 'open' : membership.mesh,
        open: membership.kind === 'open',
        owner: owner !== undefined,
      },
      ...(state.status() === undefined ? {} : { state: state.status() as StateStatus }),
      roles: gatekeeper.roles,
      uptimeMs: clock.mono() - startedAt,
      memory: { rssBytes: process.memoryUsage.rss() },
      walls: wallsOf(),
    })
    const modelReply = (): ModelReply => {
      const { decides, reason } = model.verdict()
      const evaluation = model.evaluate()
      const { history, contributors } = rounds.status()
      const { backend } = model
      return {
        version: model.version,
        round: model.round,
        contributors,
        samples: model.samples.all.length,
        decides,
        reason,
        history,
        ...(backend === undefined ? {} : { backend }),
        ...(evaluation?.heuristicLoss === undefined
          ? {}
          : { loss: { model: evaluation.loss, heuristic: evaluation.heuristicLoss, runs: evaluation.runs } }),
      }
    }
    const routes = routesOf({
      desk: new Desk({
        book,
        authority,
        hosting,
        placement: placing,
        blobs,
        store,
        facts,
        chooser,
        names,
        self: signer.self,
        clock,
      }),
      store,
      admission: gatekeeper,
      view,
      status: () => this.status(),
      config: this.#init.config ?? { file: '', options: [] },
      model: modelReply,
      round: async () => {
        await rounds.startRound()
      },
      addresses,
      now: () => clock.now(),
      goDown: () => this.#goDown(),
    })
    await undo.begin(new ControlServer({ socketPath: home.socketPath, routes }))
    this.#joinTicket = () => firstTicket(gatekeeper, membership, addresses())
    this.#log('%s is up as %s', options.name, signer.self)
  }

  async #join(home: Home, node: Libp2p, ticket: Parameters<typeof join>[2] | undefined): Promise<Membership> {
    if (ticket === undefined) throw new Error('a plan has a membership or a ticket')
    return join(home.path, node, ticket, { clock: this.#init.clock, log: this.#logger('join') })
  }

  #logger(part: string): Logger {
    return loggerOf(part, this.#init.options['log-level'] as LogLevel, this.#init.clock)
  }
}

async function firstTicket(
  gatekeeper: Admission,
  membership: Membership,
  addresses: readonly string[],
): Promise<string | undefined> {
  if (membership.kind === 'open' || !gatekeeper.roles.includes('invite')) return undefined
  const { text } = await gatekeeper.createTicket({ ttlMs: FIRST_TICKET_MS, roles: ['host', 'submit'], addresses })
  return text
}

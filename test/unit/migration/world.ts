// Real migration services on simulated peers, and what must hold of the one cell that they move: checked whenever it is run.
import type { Random } from '../../../core/random.ts'
import { type Migration, migration } from '../../../protocols/migration/index.ts'
import { decodeRecord, imageName, type SourceRecord } from '../../../protocols/migration/records.ts'
import type { Life } from '../../../testnet/simulator/life.ts'
import { Simulation } from '../../../testnet/simulator/simulation.ts'
import { type SimulatedImage, SimulatedImages } from './simulated-images.ts'
import { type HostRecord, ToyHost } from './toy-host.ts'

export const CELL = 'c'.repeat(64)
export const NODES = ['a', 'b', 'c'] as const

interface Peer {
  readonly host: ToyHost
  readonly service: Migration
  isServing: boolean
}

export class World {
  readonly sim: Simulation
  readonly random: Random
  readonly #peers = new Map<string, Peer>()
  readonly #log: string[] = []
  /** Numbers that the owner has: all below this one. */
  taken = 0
  /** The program's only copy was in the memory of a peer that crashed, with no move that would bring it back. */
  died = false
  /** A disk was lost: promises of before mean nothing. */
  wiped = false
  /** The owner made a decision against the odds. */
  forced = false
  /** The cell has ended for its owner; perhaps, when nobody was told. */
  isOver = false
  mayBeOver = false
  failing = 0
  /** What fails whenever it is asked for. */
  readonly fails = new Set<string>()
  /** What takes so many milliseconds more, the first time that it is asked for. */
  readonly slow = new Map<string, number>()
  moves = 0
  /** Of moves that went well. */
  rounds = 0
  padBytes = 10
  maxImageBytes = 1 << 30
  isLive = true
  /** Who was told that a stop is near, and who ran the cell then. */
  readonly stopsNear: string[] = []
  /** So little left is not worth another round. */
  smallBytes = 2

  constructor(seed: number) {
    this.sim = new Simulation(seed, { boot: (life) => this.#boot(life), crashed: (life) => this.#crashed(life) })
    this.random = this.sim.random
  }

  async begin(): Promise<void> {
    for (const node of NODES) this.sim.boot(node)
    await this.sim.run(50)
    this.#peers.get('a')?.host.launch(CELL, 1)
  }

  peer(node: string): Peer | undefined {
    return this.#peers.get(node)
  }

  runners(): string[] {
    return [...this.#peers].filter(([, { host }]) => host.cells.get(CELL)?.isRunning).map(([node]) => node)
  }

  /** Goes down in order: what is begun is written, then the memory is gone. It is back `awayMs` later. */
  down(node: string, awayMs: number): void {
    const peer = this.#peers.get(node)
    if (peer === undefined) return
    peer.isServing = false
    this.note(`${node} goes down`)
    const { life } = peer.host
    void peer.service.stop().then(() => {
      if (!life.alive) return
      this.sim.crash(node)
      this.sim.clock.after(awayMs, () => this.sim.boot(node))
    })
  }

  /** The owner decides about a cell in doubt, though nobody knows whether the other end has it. */
  decide(): void {
    const node = this.isInDoubt()
    const peer = node === undefined ? undefined : this.#peers.get(node)
    if (peer === undefined || !peer.isServing) return
    // It knows better once it has heard of the cell from elsewhere.
    const epoch = peer.service.status(CELL)?.epoch ?? 0
    if (this.#wanted > epoch) return
    this.#wanted = epoch + 2
    const decision = this.random.next() < 0.7 ? 'resume' : 'drop'
    this.forced = true
    this.mayBeOver ||= decision === 'drop'
    this.note(`the owner says ${decision} to ${node}`)
    peer.service.resolve(CELL, decision).then(
      ({ outcome }) => {
        this.isOver ||= outcome === 'dropped'
        this.note(`${node}: ${outcome}, as was decided`)
      },
      (error: Error) => this.note(`${node}: ${error.message}`),
    )
  }

  /** The program comes to its end, wherever it runs. */
  exit(): void {
    const [node] = this.runners()
    const peer = node === undefined ? undefined : this.#peers.get(node)
    if (peer?.isServing !== true || this.runners().length > 1) return
    this.mayBeOver = true
    this.#end(peer, () => {
      this.isOver = true
    })
  }

  /** After a decision against the odds the owner wants the copy of the highest epoch only, and none once the cell is over. */
  tell(): void {
    const running = [...this.#peers.values()].filter(({ host }) => host.cells.get(CELL)?.isRunning)
    if (!this.forced && !this.isOver) return
    for (const { host } of running) this.#highest = Math.max(this.#highest, host.cells.get(CELL)?.epoch ?? 0)
    for (const peer of running) {
      const epoch = peer.host.cells.get(CELL)?.epoch ?? 0
      if (peer.isServing && (this.isOver || epoch < this.#highest)) this.#end(peer)
    }
  }

  #highest = 0
  /** The epoch of the copy that the owner deals with. */
  #wanted = 0

  #end({ host, service }: Peer, done?: () => void): void {
    const epoch = host.cells.get(CELL)?.epoch ?? 0
    this.note(`${host.life.node} ends it under ${epoch}`)
    const toy = host.cells.get(CELL)
    if (toy !== undefined) this.#take(toy)
    host
      .end(CELL)
      .then(() => {
        done?.()
        return service.forget(CELL, epoch)
      })
      .catch((error: Error) => {
        this.note(`${host.life.node}: ${error.message}`)
        // What could not be written has not happened: it is there, and is told again.
        const held = host.cells.get(CELL)
        if (held !== undefined) held.isRunning = true
      })
  }

  /** Starts a move from where the cell runs; false when it runs nowhere. */
  move(to: string, signal?: AbortSignal): boolean {
    const epochOf = (node: string): number => this.#peers.get(node)?.host.cells.get(CELL)?.epoch ?? 0
    const [from] = this.runners().sort((x, y) => epochOf(y) - epochOf(x))
    const peer = from === undefined ? undefined : this.#peers.get(from)
    const toy = peer?.host.cells.get(CELL)
    if (from === undefined || peer === undefined || toy === undefined || from === to || !peer.isServing) return false
    // The owner moves the copy that it wants, and knows by then under which epoch that runs.
    if (toy.epoch < this.#wanted) return false
    this.#wanted = toy.epoch
    this.note(`${from} moves it to ${to} from epoch ${toy.epoch}`)
    const init = { epoch: toy.epoch, ...(signal === undefined ? {} : { signal }) }
    peer.service.migrate(CELL, to, init).then(
      (result) => {
        if (result.outcome === 'moved') {
          this.moves++
          this.rounds += result.figures.rounds
        }
        this.note(`${from} -> ${to}: ${result.outcome} ${result.reason ?? ''}`)
      },
      (error: Error) => this.note(`${from} -> ${to}: ${error.message}`),
    )
    return true
  }

  /** The program prints a little more, and the owner may take some of it. */
  work(): void {
    for (const { host } of this.#peers.values()) {
      const toy = host.cells.get(CELL)
      if (toy === undefined) continue
      if (toy.isRunning) toy.count += this.random.int(5)
      if (this.random.next() < 0.5) this.#take(toy)
    }
  }

  /** Every move has ended, and exactly one peer runs the cell. */
  isQuiet(): boolean {
    return this.runners().length === (this.isOver ? 0 : 1) && this.#busy().length === 0
  }

  #busy(): string[] {
    return [...this.#peers].flatMap(([node, { service, isServing }]) =>
      isServing
        ? service
            .list()
            .filter(({ phase }) => phase !== 'active')
            .map(({ phase }) => `${node}:${phase}`)
        : [`${node}:starting`],
    )
  }

  /** No peer is about anything. */
  isIdle(): boolean {
    return this.#busy().length === 0
  }

  /** A disk was lost, and with it perhaps the cell: nothing can be said. */
  isLost(): boolean {
    return this.wiped
  }

  /** The peer that waits for its owner's decision. */
  isInDoubt(): string | undefined {
    return [...this.#peers].find(([, { service }]) => service.status(CELL)?.phase === 'in-doubt')?.[0]
  }

  finish(): void {
    for (const { host } of this.#peers.values()) {
      const toy = host.cells.get(CELL)
      if (toy?.isRunning) this.#take(toy)
      if (host.arriving > 0) this.fail(`${host.life.node} still holds the parts of ${host.arriving} ended moves`)
    }
  }

  fail(what: string): never {
    const state = [...this.#peers].map(([node, { host, service }]) => {
      const toy = host.cells.get(CELL)
      return `${node}: ${JSON.stringify(toy)} ${JSON.stringify(service.list())}`
    })
    throw new Error(`${what}\n${this.#log.slice(-60).join('\n')}\n${state.join('\n')}`)
  }

  note(text: string): void {
    this.#log.push(`${this.sim.clock.now() - 1_700_000_000_000} ${text}`)
  }

  violation: string | undefined

  #boot(life: Life): void {
    const disk = this.sim.disk(life.node)
    const random = this.random
    const host = new ToyHost({
      life,
      disk,
      failing: (what) => (this.fails.has(what) ? 1 : this.failing),
      slowMs: (what) => {
        const ms = this.slow.get(what) ?? 0
        this.slow.delete(what)
        return ms
      },
      random: () => random.next(),
      padBytes: () => this.padBytes,
      isLive: () => this.isLive,
      maxImageBytes: () => this.maxImageBytes,
      onRun: () => this.#onRun(life.node),
    })
    const service = migration({
      network: this.sim.network.attach(life),
      clock: life,
      random,
      source: host.source,
      destination: host.destination,
      journal: {
        put: async (key, record) => {
          await disk.put(life, 'journal', key, record)
          this.note(`${life.node} wrote ${phaseOf(record)}`)
        },
        get: (key) => disk.get(life, 'journal', key),
        list: () => disk.entries(life, 'journal'),
        remove: (key) => disk.remove(life, 'journal', key),
      },
      images: new SimulatedImages(disk, life),
      beforeStop: () => this.stopsNear.push(`${life.node}, while it runs on ${this.runners()}`),
      onError: () => undefined,
      stopRule: { smallBytes: this.smallBytes },
    })
    const peer: Peer = { host, service, isServing: false }
    this.#peers.set(life.node, peer)
    this.note(`${life.node} starts`)
    service.start().then(
      () => (peer.isServing = true),
      // A full disk at start: the peer cannot run, and is started again.
      () => {
        this.sim.crash(life.node)
        this.sim.clock.after(2_000, () => this.sim.boot(life.node))
      },
    )
  }

  #crashed({ node }: Life): void {
    const peer = this.#peers.get(node)
    this.#peers.delete(node)
    this.note(`${node} crashes`)
    const toy = peer?.host.cells.get(CELL)
    if (toy === undefined) return
    const records = [...this.sim.disk(node).peek<Uint8Array>('journal').values()].map((bytes) => decodeRecord(bytes))
    // A move that was taken back on a full disk may have left a record, and no image.
    const images = this.sim.disk(node).peek<SimulatedImage>('images')
    const isKept = ({ cell, attempt, kind }: SourceRecord): boolean =>
      images.get(imageName(kind, cell, attempt))?.context !== undefined
    if (records.some((record) => (record.kind === 'source' ? isKept(record) : record.phase === 'owned'))) return
    this.died = true
    this.note('with it went the only copy')
  }

  #onRun(node: string): void {
    const runners = this.runners()
    this.note(`${node} runs it under ${this.#peers.get(node)?.host.cells.get(CELL)?.epoch}`)
    if (this.isOver && !this.forced) this.violation ??= `${node} runs it after its end`
    if (runners.length > 1 && !this.forced && !this.wiped) this.violation ??= `two copies run: ${runners.join(', ')}`
    const epochs = NODES.map((name) => this.sim.disk(name).peek<HostRecord>('hosted').get(CELL))
    const here = this.#peers.get(node)?.host.cells.get(CELL)?.epoch ?? 0
    const ahead = epochs.find((record) => record !== undefined && record.phase === 'here' && record.epoch > here)
    if (ahead !== undefined && !this.forced && !this.wiped)
      this.violation ??= `${node} runs it under ${here}, but it ran under ${ahead.epoch}`
  }

  #take(toy: { count: number; untaken: number }): void {
    if (toy.untaken > this.taken) this.violation ??= `output is lost: ${this.taken} to ${toy.untaken}`
    this.taken = Math.max(this.taken, toy.count)
    toy.untaken = Math.max(toy.untaken, Math.min(toy.count, this.taken))
  }
}

function phaseOf(bytes: Uint8Array): string {
  const record = decodeRecord(bytes)
  return `${record.kind} ${record.phase} ${record.kind === 'source' ? record.attempt.slice(0, 4) : record.offer.attempt.slice(0, 4)}`
}

// What hosts and authorities do with cells that move: real managers and services on joined networks, with toy programs.
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { CellEngine, CellHandle } from '../../../cells/index.ts'
import { CodedError } from '../../../core/errors.ts'
import { MemoryMesh } from '../../../protocols/kit/memory-network.ts'
import { decodeRecord, type MigrationRecord } from '../../../protocols/migration/records.ts'
import { eventually } from '../../support/eventually.ts'
import { type CellPeer, CellPeers } from './peers.ts'
import type { ToyProgram } from './toy-engine.ts'

let peers: CellPeers
/** `owner` submits; `a` is offered the cells. */
let owner: CellPeer
let a: CellPeer
let b: CellPeer

beforeEach(async () => {
  peers = new CellPeers(new MemoryMesh())
  owner = await peers.peer()
  a = await peers.peer()
  b = await peers.peer()
  peers.hosts = [a.key]
})

afterEach(() => peers.end())

/** Calls `then` as soon as `peer` has written that a move of it is in `phase`. */
function onJournal(peer: CellPeer, phase: MigrationRecord['phase'], then: () => void): void {
  peer.records.moves.onPut = (record) => {
    if (decodeRecord(record).phase === phase) then()
  }
}

/** Moves the cell from `a` to `b`, which takes it over but cannot say so; resolves once `owner` knows of the doubt. */
async function inDoubt(cell: string): Promise<void> {
  onJournal(b, 'owned', () => {
    peers.mesh.link(a.key, b.key, false)
    peers.mesh.link(owner.key, b.key, false)
  })
  expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: 'in-doubt' })
  await owner.reaches(cell, 'in-doubt')
}

/** Begins to move the cell to `b`, and resolves when its `program` stands in its first round, until the gate is opened. */
async function heldInRound(cell: string, program: ToyProgram) {
  const inRound = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  program.onRound = () => {
    inRound.resolve()
    return gate.promise
  }
  const move = owner.desk.migrate(cell, b.key)
  await inRound.promise
  return { move, gate }
}

/** No report of `hosts` is taken until its host is named. */
function holdReports(at: CellPeer, ...hosts: readonly CellPeer[]): { from(host: CellPeer): void } {
  const report = at.authority.report.bind(at.authority)
  const held = new Set(hosts.map(({ key }) => key))
  at.authority.report = async (from, batch) => {
    if (held.has(from)) throw new Error('not now')
    return report(from, batch)
  }
  return { from: (host) => held.delete(host.key) }
}

async function images(peer: CellPeer): Promise<string[]> {
  const folder = join(peer.home.path, 'images')
  return (await readdir(folder)).map((file) => join(folder, file))
}

/** What may become of an image on a disk. */
const LOSSES: [string, (peer: CellPeer) => Promise<void>][] = [
  [
    'gone',
    async (peer) => {
      for (const file of await images(peer)) await rm(file)
    },
  ],
  [
    'damaged',
    async (peer) => {
      for (const path of await images(peer)) {
        const bytes = await readFile(path)
        // The first byte after the header of the first piece.
        bytes[5] = (bytes[5] ?? 0) ^ 0xff
        await writeFile(path, bytes)
      }
    },
  ],
]

/** Takes all parts, and cannot make a program of them. */
const neverWhole: CellEngine['receive'] = async () => ({
  add: async () => undefined,
  finish: () => Promise.reject(new CodedError('SNAPSHOT_MALFORMED', 'not today')),
  abandon: async () => undefined,
})

describe('a move', () => {
  it('goes to and fro, is counted once each time, and loses no output', async () => {
    const { cell } = await owner.run()
    for (const to of [b, a, b]) {
      peers.program(cell).print(`on the way to ${to.key}\n`)
      expect(await owner.desk.migrate(cell, to.key)).toMatchObject({ outcome: 'moved' })
    }
    peers.program(cell).exit()
    const end = await owner.reaches(cell, 'finished')
    expect(end.moves).toHaveLength(3)
    expect(await owner.stdout(cell)).toBe([b, a, b].map(({ key }) => `on the way to ${key}\n`).join(''))
    await eventually(() => a.home.kept.hosted.size + b.home.kept.hosted.size === 0)
  })

  it('copies the program while it runs, and says in figures how that went', async () => {
    const { cell, program } = await owner.run()
    program.dirty = [8 << 20, 4 << 20, 1]
    program.onRound = () => program.print('in a round\n')
    const move = await owner.desk.migrate(cell, b.key)
    expect(move).toMatchObject({ outcome: 'moved', rounds: 3 })
    const { stopMs = Number.NaN, totalMs = 0, movedBytes = 0, lastBytes = 0 } = move
    expect(totalMs).toBeGreaterThan(stopMs)
    expect(movedBytes).toBeGreaterThan(lastBytes)
    expect(move.hostStartedAt).toBeGreaterThan(move.hostStoppedAt ?? Number.NaN)
    const details = owner.book.get(cell)?.record.timeline.map(({ detail }) => detail)
    expect(details).toContainEqual(expect.stringMatching(/^copied to .+ while it runs$/))
    peers.program(cell).exit()
    await owner.reaches(cell, 'finished')
    expect(await owner.stdout(cell)).toBe('in a round\n'.repeat(6))
  })

  it('of a program that cannot be watched while it runs stops it at once', async () => {
    const { cell, program } = await owner.run()
    program.copy = () => Promise.reject(new CodedError('CELL_STATE_NOT_SERIALIZABLE', 'no second build of it'))
    program.print('before\n')
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: 'moved', rounds: 0 })
    peers.program(cell).print('after\n')
    peers.program(cell).exit()
    await owner.reaches(cell, 'finished')
    expect(await owner.stdout(cell)).toBe('before\nafter\n')
  })

  it('comes to nothing when the program ends in a round, and the program has ended', async () => {
    const { cell, program } = await owner.run()
    program.onRound = () => program.exit()
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: 'resumed' })
    expect(await owner.reaches(cell, 'finished')).toMatchObject({ host: a.key, epoch: 1 })
    expect(b.engine.programs).toEqual([])
  })

  it('is given up in a round when its owner stops the cell', async () => {
    const { cell, program } = await owner.run()
    const { move, gate } = await heldInRound(cell, program)
    const stopped = owner.desk.stop(cell)
    await eventually(() => program.hasEnded)
    gate.resolve()
    expect(await stopped).toMatchObject({ phase: 'stopped' })
    expect(await move).toMatchObject({ outcome: 'resumed' })
    expect(peers.running(cell)).toEqual([])
  })

  it('may be asked for again, after one that was given up in a round', async () => {
    const { cell, program } = await owner.run()
    program.onRound = () => {
      program.onRound = undefined
      peers.mesh.link(a.key, b.key, false)
    }
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: 'resumed' })
    expect(program.isRunning).toBe(true)
    peers.mesh.link(a.key, b.key, true)
    await owner.reaches(cell, 'running')
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: 'moved' })
  })

  it('is told in the middle of another one that the cell is moving already', async () => {
    const { cell, program } = await owner.run()
    const { move, gate } = await heldInRound(cell, program)
    await owner.reaches(cell, 'moving')
    await expect(owner.desk.migrate(cell, b.key)).rejects.toMatchObject({ code: 'CELL_NOT_RUNNING' })
    gate.resolve()
    expect(await move).toMatchObject({ outcome: 'moved' })
  })

  it('to the best peer holds what was reserved there, and takes the next one when it is refused after all', async () => {
    const { cell } = await owner.run()
    const c = await peers.peer()
    peers.hosts = [b.key, c.key]
    const refusals: string[] = []
    b.engine.prepare = async () => {
      refusals.push('b')
      throw new CodedError('CELL_REFUSED', 'no such engine here')
    }
    const move = await owner.desk.migrate(cell, undefined)
    expect(move).toMatchObject({ outcome: 'moved', to: c.key })
    expect(refusals).toEqual(['b'])
    expect(owner.desk.why(cell).lines.at(-2)).toMatch(/^move from .+: resumed, .*no such engine here/)
    expect(owner.desk.why(cell).lines.at(-1)).toMatch(/^moved from .+ bytes in .+ 1 round while it ran; stopped .+ ms/)
    expect(peers.running(cell)).toHaveLength(1)
    for (const peer of [b, c]) expect(peer.placement.reserved()).toMatchObject({ slots: 0 })
  })

  it('to the best peer is refused when every one of them does so, with the last reason', async () => {
    const { cell, program } = await owner.run()
    peers.hosts = [b.key]
    b.engine.prepare = () => Promise.reject(new CodedError('CELL_REFUSED', 'no such engine here'))
    expect(await owner.desk.migrate(cell, undefined)).toMatchObject({
      outcome: 'resumed',
      reason: expect.stringContaining('no such engine here'),
    })
    expect(program.isRunning).toBe(true)
    expect(b.placement.reserved()).toMatchObject({ slots: 0 })
  })

  it.each(LOSSES)('ends a cell here whose program is gone and whose image is %s', async (_name, lose) => {
    const { cell, program } = await owner.run()
    // The program that stands still dies with its process.
    program.resumeHere = async () => {
      await lose(a)
      throw new CodedError('CELL_HOST_DIED', 'its process is gone')
    }
    b.engine.receive = neverWhole
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: expect.stringMatching(/resumed|refused/) })
    await owner.reaches(cell, 'lost')
  })

  it.each(LOSSES)('ends a cell there whose program did not start and whose image is %s', async (_name, lose) => {
    const { cell } = await owner.run()
    const receive = b.engine.receive.bind(b.engine)
    b.engine.receive = async (...init) => {
      const arriving = await receive(...init)
      const finish = async (): Promise<CellHandle> => {
        const program = await arriving.finish()
        program.resumeHere = async () => {
          await lose(b)
          throw new CodedError('CELL_HOST_DIED', 'its process is gone')
        }
        return program
      }
      return { ...arriving, finish }
    }
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: 'moved' })
    expect(await owner.reaches(cell, 'lost')).toMatchObject({ host: b.key, epoch: 2 })
    await eventually(() => b.migration.list().every(({ phase }) => phase === 'left') && b.home.kept.hosted.size === 0)
  })

  it('to the best peer is not tried with the next one when it was not the peer that ended it', async () => {
    const c = await peers.peer()
    const { cell, program } = await owner.run()
    peers.hosts = [b.key, c.key]
    program.onRound = () => {
      throw new CodedError('CELL_FAILED', 'it cannot be copied')
    }
    expect(await owner.desk.migrate(cell, undefined)).toMatchObject({ outcome: 'resumed', to: b.key })
    expect(program.rounds).toBe(1)
    expect(peers.running(cell)).toEqual([program])
  })

  it('that is under way when its host goes down is not the end of the cell', async () => {
    const { cell, program } = await owner.run()
    const drained = Promise.withResolvers<void>()
    program.onRound = () => {
      program.onRound = undefined
      a.hosting.drain(AbortSignal.timeout(10_000)).then(drained.resolve, drained.reject)
    }
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: 'moved' })
    await drained.promise
    expect(await owner.reaches(cell, 'running')).toMatchObject({ host: b.key, epoch: 2 })
    expect(peers.running(cell)).toHaveLength(1)
  })

  it('that takes longer than its host may is given up, and the cell ends with its host', async () => {
    const { cell, program } = await owner.run()
    const down = new AbortController()
    const drained = Promise.withResolvers<void>()
    program.onRound = () => {
      program.onRound = undefined
      a.hosting.drain(down.signal).then(drained.resolve, drained.reject)
      down.abort()
    }
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: 'resumed' })
    await drained.promise
    await owner.reaches(cell, 'lost')
    expect(peers.running(cell)).toEqual([])
  })

  it('to a peer that is not what the cell asks for is refused, with the reason', async () => {
    a.labels.wood = 'hard'
    const { cell } = await owner.run({ constraints: { labels: { wood: 'hard' } } })
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({
      outcome: 'resumed',
      reason: expect.stringContaining('this peer has no label wood=hard'),
    })
    b.labels.wood = 'hard'
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: 'moved' })
  })

  it('may leave the one peer on which the cell was to begin', async () => {
    const { cell } = await owner.run({ constraints: { labels: {}, peer: a.key } })
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: 'moved' })
  })

  it('is refused for a reason of any length', async () => {
    const { cell } = await owner.run()
    b.engine.prepare = () => Promise.reject(new CodedError('CELL_REFUSED', 'x'.repeat(5_000)))
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({
      outcome: 'resumed',
      reason: expect.stringMatching(/x{400}/),
    })
  })

  it('carries a manifest as long as any that is accepted', async () => {
    const { cell } = await owner.run({ args: Array.from({ length: 60 }, () => 'x'.repeat(4_000)) })
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: 'moved' })
  })

  it('waits until its owner has taken what would be too much to carry', async () => {
    const { cell, program } = await owner.run()
    holdReports(owner, a)
    program.print('x'.repeat(17 << 20))
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({
      outcome: 'resumed',
      reason: expect.stringContaining('bytes of output were not taken by its owner yet'),
    })
    expect(program.isRunning).toBe(true)
  })

  it('of which nothing is heard any more was not refused', async () => {
    const { cell } = await owner.run()
    onJournal(b, 'owned', () => void a.kill())
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: 'in-doubt' })
    peers.program(cell).exit()
    expect(await owner.reaches(cell, 'finished')).toMatchObject({ host: b.key })
  })

  it('is counted once, though the answer to who asked for it comes before the report', async () => {
    const { cell } = await owner.run()
    const held = holdReports(owner, a, b)
    const move = owner.desk.migrate(cell, b.key)
    await eventually(() => owner.book.get(cell)?.record.moves.length === 1)
    held.from(a)
    await eventually(() => a.hosting.get(cell) === undefined)
    held.from(b)
    expect(await move).toMatchObject({ outcome: 'moved' })
    expect((await owner.reaches(cell, 'running')).moves).toHaveLength(1)
  })

  it('that came to nothing does not save a cell from being stopped, though it cannot be resumed either', async () => {
    const { cell, program } = await owner.run()
    const fails = () => Promise.reject(new Error('out of memory'))
    b.engine.receive = neverWhole
    a.engine.receive = fails
    program.resumeHere = fails
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: 'refused' })
    expect(await owner.desk.stop(cell)).toMatchObject({ phase: 'stopped' })
  })

  it('does not save a cell from being stopped', async () => {
    const { cell } = await owner.run()
    // The word arrives when the cell has left, and before its owner knows.
    const held = holdReports(owner, a, b)
    const move = owner.desk.migrate(cell, b.key)
    await eventually(() => owner.book.get(cell)?.record.moves.length === 1)
    const stopped = owner.desk.stop(cell)
    held.from(b)
    held.from(a)
    expect(await stopped).toMatchObject({ phase: 'stopped' })
    expect(peers.running(cell)).toEqual([])
    await move
  })
})

describe('a cell in doubt', () => {
  it('is shown to be, and decided, though its host was killed before it could say so', async () => {
    const { cell } = await owner.run()
    onJournal(a, 'committed', () => {
      void b.kill()
      void a.kill()
    })
    expect(await owner.desk.migrate(cell, b.key)).toMatchObject({ outcome: 'in-doubt' })
    a = await peers.boot(a.home)
    await owner.reaches(cell, 'in-doubt')
    expect(peers.running(cell)).toEqual([])
    expect(await owner.desk.resolve(cell, 'resume')).toMatchObject({ phase: 'running', host: a.key, epoch: 3 })
    expect(peers.running(cell)).toHaveLength(1)
  })

  it('is still in doubt when the decision could not be written, and its owner hears that', async () => {
    const { cell } = await owner.run()
    await inDoubt(cell)
    a.records.moves.full = true
    await expect(owner.desk.resolve(cell, 'resume')).rejects.toMatchObject({ code: 'MIGRATION_JOURNAL_FAILED' })
    a.records.moves.full = false
    expect(owner.desk.get(cell).phase).toBe('in-doubt')
    expect(await owner.desk.resolve(cell, 'drop')).toMatchObject({ phase: 'stopped' })
  })

  it('that is resumed is not wanted from the other end any more, whoever reports first', async () => {
    const { cell } = await owner.run()
    await inDoubt(cell)
    await eventually(() => b.engine.programs.some(({ isRunning }) => isRunning))
    const held = holdReports(owner, a)
    const resolved = owner.desk.resolve(cell, 'resume')
    await eventually(() => a.engine.programs.some(({ isRunning }) => isRunning))
    peers.mesh.link(owner.key, b.key, true)
    await eventually(() => b.hosting.get(cell) === undefined || owner.desk.get(cell).host === b.key)
    held.from(a)
    expect(await resolved).toMatchObject({ phase: 'running', host: a.key, epoch: 3 })
    await eventually(() => peers.running(cell).length === 1)
    expect(a.hosting.get(cell)).toBeDefined()
  })
})

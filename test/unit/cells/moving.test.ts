// What hosts and authorities do with cells that move: real managers and services on joined networks, with toy programs.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MemoryMesh } from '../../../protocols/kit/memory-network.ts'
import { eventually } from '../../support/eventually.ts'
import { type CellPeer, CellPeers } from './peers.ts'

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
    await eventually(() => a.home.hosted.kept.size + b.home.hosted.kept.size === 0)
  })
})

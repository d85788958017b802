// When an owner gives up to look for a host.
import { afterEach, beforeEach, expect, it } from 'vitest'
import { CodedError } from '../../../core/errors.ts'
import { MemoryMesh } from '../../../protocols/kit/memory-network.ts'
import { CellPeers } from './peers.ts'

let peers: CellPeers

beforeEach(() => {
  peers = new CellPeers(new MemoryMesh())
})

afterEach(() => peers.end())

it('fails a cell of a peer that may submit none, though not every peer was asked', async () => {
  const owner = await peers.peer()
  const a = await peers.peer()
  peers.hosts = [a.key]
  peers.unconsidered = 1
  a.hosting.room = () => {
    throw new CodedError('NOT_SUBMITTER', 'it has not the role submit')
  }
  const { cell } = await owner.submit()
  expect(await owner.reaches(cell, 'failed')).toMatchObject({ error: { code: 'PLACEMENT_FAILED' } })
})

// A program whose files are larger than the memory that they may take: what it sees, how it moves, and what it is told when
// the disk below fails.
import { describe, expect, it } from 'vitest'
import { contentDelta, PIECE_BYTES, PiecePool, ReceivedContents, wasiState } from '../../../cells/wasi/index.ts'
import { fromCbor, toCbor } from '../../../core/shape.ts'
import { Guest, Open } from './guest.ts'
import { MemoryScratch } from './memory-scratch.ts'

const DISK = 64 * PIECE_BYTES
const PIECES = 16
const RESIDENT = 2 * PIECE_BYTES
const [IO, NOSPC] = [29, 51]

interface Place {
  readonly scratch: MemoryScratch
  readonly pool: PiecePool
}

function place(): Place {
  const scratch = new MemoryScratch()
  return { scratch, pool: new PiecePool({ scratch, residentBytes: RESIDENT }) }
}

/** A guest that has written the number of each piece into it, in text. */
function written(): Place & { readonly guest: Guest; readonly fd: number } {
  const here = place()
  const guest = new Guest({ diskBytes: DISK, pool: here.pool })
  const fd = guest.open('big', Open.CREAT)
  for (let n = 0; n < PIECES; n++) {
    guest.seek(fd, BigInt(n * PIECE_BYTES), 0)
    guest.write(fd, `piece ${n};`)
  }
  return { ...here, guest, fd }
}

function pieceOf(guest: Guest, fd: number, n: number): string {
  guest.seek(fd, BigInt(n * PIECE_BYTES), 0)
  return String(guest.read(fd, 16)).replace(/;.*/s, ';')
}

describe('files beyond memory', () => {
  it('are read as they were written', () => {
    const { guest, fd, pool, scratch } = written()
    expect(scratch.size).toBeGreaterThanOrEqual(PIECES - 3)
    for (const n of [0, 15, 3, 3, 8, 1, 14, 0]) expect(pieceOf(guest, fd, n)).toBe(`piece ${n};`)
    expect(pool.residentBytes).toBeLessThanOrEqual(RESIDENT)
  })

  it('move without being in memory at either end', () => {
    const { guest, fd, pool } = written()
    const there = place()
    const ledger = guest.wasi.trackContents()
    const received = new ReceivedContents(DISK, there.pool)
    while (ledger.unsentBytes > 0) {
      received.apply(fromCbor(toCbor(ledger.next(PIECE_BYTES)), contentDelta, 'SNAPSHOT_MALFORMED'))
      expect(pool.residentBytes).toBeLessThanOrEqual(RESIDENT)
      expect(there.pool.residentBytes).toBeLessThanOrEqual(RESIDENT)
    }
    guest.seek(fd, BigInt(5 * PIECE_BYTES), 0)
    guest.write(fd, 'changed;')
    const state = fromCbor(toCbor(guest.wasi.state(ledger)), wasiState, 'SNAPSHOT_MALFORMED')
    const other = new Guest({ diskBytes: DISK, pool: there.pool })
    other.restore(state, received)
    for (let n = 0; n < PIECES; n++) expect(pieceOf(other, fd, n)).toBe(n === 5 ? 'changed;' : `piece ${n};`)
    expect(there.pool.residentBytes).toBeLessThanOrEqual(RESIDENT)
  })

  it('give what they took back', () => {
    const { guest, fd, pool, scratch } = written()
    guest.path('path_unlink_file', 'big')
    expect(scratch.size).toBeGreaterThan(0)
    expect(guest.call('fd_close', fd)).toBe(0)
    expect([scratch.size, pool.residentBytes, guest.wasi.diskBytes()]).toEqual([0, 0, 0])
  })

  it('are too large, or unreadable, when the disk below them is full, or broken, and are as before when it is not', () => {
    const { guest, fd, scratch } = written()
    const { view } = guest
    view.setUint32(16, 1024, true)
    view.setUint32(20, 8, true)
    scratch.full = true
    const size = guest.wasi.diskBytes()
    expect(guest.call('fd_pwrite', fd, 16, 1, BigInt(30 * PIECE_BYTES), 8)).toBe(NOSPC)
    expect(guest.wasi.diskBytes()).toBe(size)
    expect(guest.call('fd_filestat_set_size', fd, 8n)).toBe(NOSPC)
    expect(guest.wasi.diskBytes()).toBe(size)
    expect(guest.call('fd_pread', fd, 16, 1, 0n, 8)).toBe(IO)
    scratch.full = false
    scratch.broken = true
    expect(guest.call('fd_pread', fd, 16, 1, BigInt(PIECE_BYTES), 8)).toBe(IO)
    scratch.broken = false
    for (let n = 0; n < PIECES; n++) expect(pieceOf(guest, fd, n)).toBe(`piece ${n};`)
  })
})

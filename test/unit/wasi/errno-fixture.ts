// What the tests of errnos start from: a guest with one of everything, and what all calls that take a path have in common.
import { expect } from 'vitest'
import type { Errno } from '../../../cells/wasi/errno.ts'
import { utf8 } from '../../../core/bytes.ts'
import { Guest, Open, ROOT } from './guest.ts'

/** Just outside of memory. */
export const OUT = 131_072
export const FILE = 4
export const DIRECTORY = 5
/** Opened without any right. */
export const BARE_FILE = 6
export const BARE_DIRECTORY = 7
export const UNOPEN = 99
/** A place for results, a buffer, an unknown bit. */
export const AT = 8
export const BUFFER = 4096
export const UNKNOWN = 1 << 15
export const TOO_FAR = 2n ** 53n

export function prepared(): Guest {
  const file = (path: string) => ({ path, bytes: utf8('hello') })
  const guest = new Guest({ files: [file('/f'), file('/d/x')], args: ['guest'], env: { A: 'b' }, diskBytes: 100 })
  guest.symlink('f', 'l')
  guest.symlink('d', 'ld')
  guest.symlink('loop', 'loop')
  guest.path('path_create_directory', 'empty')
  expect(guest.open('f')).toBe(FILE)
  expect(guest.open('d', Open.DIRECTORY)).toBe(DIRECTORY)
  expect(guest.open('f', 0, { rights: 0n, inheriting: 0n })).toBe(BARE_FILE)
  expect(guest.open('.', 0, { rights: 0n, inheriting: 0n })).toBe(BARE_DIRECTORY)
  return guest
}

export const one = (guest: Guest) => guest.vector(BUFFER, 4)
export const far = (guest: Guest) => guest.vector(OUT, 1)
export const long = 'n'.repeat(256)

export type Path = (guest: Guest, fd: number, path: [number, number]) => number

/** What every call that takes a path says of descriptors and paths that are none. */
export function ofPath(call: Path, path = 'f'): Cases {
  const bytes = (guest: Guest, ...values: number[]): [number, number] => {
    new Uint8Array(guest.memory.buffer).set(values, 1024)
    return [1024, values.length]
  }
  return {
    BADF: [(g) => call(g, UNOPEN, g.text(path))],
    NOTDIR: [(g) => call(g, FILE, g.text(path)), (g) => call(g, 0, g.text(path)), (g) => call(g, ROOT, g.text('f/x'))],
    NOTCAPABLE: [
      (g) => call(g, BARE_DIRECTORY, g.text(path)),
      (g) => call(g, DIRECTORY, g.text('../f')),
      (g) => call(g, DIRECTORY, g.text('/f')),
      (g) => call(g, ROOT, g.text('../f')),
    ],
    FAULT: [(g) => call(g, ROOT, [OUT - 1, 2])],
    NOENT: [(g) => call(g, ROOT, g.text('')), (g) => call(g, ROOT, g.text('none/x'))],
    NAMETOOLONG: [(g) => call(g, ROOT, g.text(long)), (g) => call(g, ROOT, [0, 4097])],
    LOOP: [(g) => call(g, ROOT, g.text('loop/x'))],
    INVAL: [(g) => call(g, ROOT, g.text('a\0b'))],
    ILSEQ: [(g) => call(g, ROOT, bytes(g, 0x66, 0xff))],
  }
}

export type Cases = Partial<Record<keyof typeof Errno, readonly ((guest: Guest) => number)[]>>

export function also(...all: readonly Cases[]): Cases {
  const merged: Cases = {}
  for (const cases of all)
    for (const name of Object.keys(cases) as (keyof typeof Errno)[])
      merged[name] = [...(merged[name] ?? []), ...(cases[name] ?? [])]
  return merged
}

/** The directory /d without one right, and handing down only the right to read. */
export function narrowed(guest: Guest, withoutBit: number): number {
  const fd = guest.open('d', Open.DIRECTORY)
  expect(guest.call('fd_fdstat_get', fd, BUFFER)).toBe(0)
  const rights = guest.view.getBigUint64(BUFFER + 8, true)
  expect(guest.call('fd_fdstat_set_rights', fd, rights & ~(1n << BigInt(withoutBit)), 2n)).toBe(0)
  return fd
}

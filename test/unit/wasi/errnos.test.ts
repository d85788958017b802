// Every errno that a call can give, call by call.
import { describe, expect, it } from 'vitest'
import { Errno } from '../../../cells/wasi/errno.ts'
import { WASI_FUNCTIONS } from '../../../cells/wasi/functions.ts'
import { fileCases } from './errno-files.ts'
import { prepared } from './errno-fixture.ts'
import { otherCases } from './errno-others.ts'
import { pathCases } from './errno-paths.ts'

const cases = { ...fileCases, ...otherCases, ...pathCases }
const errnoNames = Object.keys(Errno) as (keyof typeof Errno)[]
const rows = Object.entries(cases).flatMap(([call, byErrno]) =>
  errnoNames.flatMap((errno) => (byErrno[errno] ?? []).map((run, index) => ({ call, errno, index, run }))),
)

describe('errnos', () => {
  it('are given for all calls', () => {
    expect(Object.keys(cases).sort()).toEqual([...WASI_FUNCTIONS].sort())
    const given = new Set(rows.map(({ errno }) => errno))
    // Standard input that has not come yet, and a disk that fails: see stdin.test.ts and storage.test.ts.
    expect(errnoNames.filter((name) => !given.has(name))).toEqual(['SUCCESS', 'AGAIN', 'IO'])
  })

  it.each(rows)('$call: $errno, $index', ({ errno, run }) => {
    const guest = prepared()
    const before = guest.wasi.state()
    const got = run(guest)
    expect(errnoNames.find((name) => Errno[name] === got)).toBe(errno)
    // What failed has left no trace in the tree.
    expect(guest.wasi.state().nodes).toEqual(before.nodes)
  })
})

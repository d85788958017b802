// Small programs, each about one thing, on three WASIs: ours, Node's, and the one of Wasmer. Where one of the others is
// wrong, it says so here, with the reason; and an entry that no longer holds fails.
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { utf8 } from '../../../core/bytes.ts'
import { type Program, runOnNode, runOnOurs, runOnWasmer, sample } from './programs.ts'
import { samplePrograms } from './sample-programs.ts'

/** By program and question. */
type Wrong = Readonly<Record<string, Readonly<Record<string, string>>>>

const nodeIsWrong: Wrong = {
  timing: {
    access: 'it sets times as a double of seconds, and loses the nanoseconds',
    modification: 'as for access',
  },
}

/** What Node answers rightly most times only: there, ours must say 1, which is yes. */
const nodeMayBeWrong: Wrong = {
  timing: { slept: 'a timer of libuv counts whole milliseconds of a clock read before, and may end early by one' },
}

const wasmerIsWrong: Wrong = {
  linking: { linked: 'it counts one name, however many there are' },
  listing: {
    'mkdir again': 'it makes what exists',
    'mkdir below nothing': 'it makes all directories above',
    '/none': 'made by the question before',
  },
  reading: {
    sum: 'a read at the end of a file clears the buffer, although it gives no bytes',
    'read closed': 'EINVAL where POSIX has EBADF',
  },
  renaming: {
    'to itself': 'POSIX: renaming a file to itself does nothing and succeeds',
    'to another directory': 'it cannot rename from one directory to another',
    'to another directory after': 'as before',
    'directory after': 'nothing was moved into it',
    'file over directory': 'there is no file: it was not moved',
    'directory over file': 'it replaces a file by a directory: POSIX has ENOTDIR',
    'directory over full': 'there is no directory any more',
    'directory over empty after': 'as before',
    'into itself': 'a directory is moved into itself, and lost: POSIX has EINVAL',
    'below a file': 'as before',
  },
  seeking: {
    'seek before the start': 'it takes a negative position, POSIX has EINVAL',
    'where it stayed': 'at the negative position',
  },
  truncating: {
    'ftruncate to more': 'it cannot grow a file: EBADF',
    'after ftruncate to more': 'as before',
    allocate: 'nor allocate',
    'after allocating': 'as before',
    'allocate what is there': 'as before',
    'after allocating less': 'as before',
  },
  writing: {
    'read what is open for writing': 'EPERM where POSIX has EBADF',
    'after overwriting': 'a write inserts where it should overwrite',
    'after appending': 'as before',
    'write what is open for reading': 'it writes to what is open for reading only',
  },
}

/** The question at which it panics, for good: nothing after it is asked. */
const wasmerPanics: Readonly<Record<string, string>> = {
  linking: 'symlinked',
  seeking: 'seek by an unknown way',
  timing: 'sleep',
  unlinking: 'read unlinked',
}

const folder = new URL('./questions/wasm/', import.meta.url)
const names = readdirSync(folder).map((name) => name.replace('.wasm', ''))

const programOf = (name: string): Program => ({
  module: new Uint8Array(readFileSync(new URL(`${name}.wasm`, folder))),
  args: [name, 'two words', 'ünïcode', ''],
  env: { SET: 'a=b', EMPTY: '' },
  stdin: utf8('first\nsecond\nno end'),
  files: [{ path: '/in/long', bytes: Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) >>> 3) }],
})

/** Answers by question, in order. */
function answersOf(stdout: string): [question: string, answer: string][] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon), line.slice(colon + 1)]
    })
}

/**
 * Checks `theirs` against `ours`, up to the question `end`; what is listed as wrong must differ, and what may be wrong
 * is asked of ours alone.
 */
function compare(
  ours: string,
  theirs: string,
  {
    wrong = {},
    mayBeWrong = {},
    end,
  }: {
    wrong?: Readonly<Record<string, string>> | undefined
    mayBeWrong?: Readonly<Record<string, string>> | undefined
    end?: string | undefined
  },
): void {
  const [mine, other] = [answersOf(ours), answersOf(theirs)]
  const asked = end === undefined ? mine.length : mine.findIndex(([question]) => question === end)
  expect(asked).toBeGreaterThan(0)
  if (end === undefined) expect(other.length).toBe(mine.length)
  for (const [index, [question, answer]] of mine.slice(0, asked).entries()) {
    const same = other[index]?.[0] === question && other[index]?.[1] === answer
    const found = `${question}:${answer} - there ${other[index]?.join(':')}`
    if (question in mayBeWrong) expect(answer.trim(), question).toBe('1')
    else if (question in wrong) expect(same, `is right by now: ${found}`).toBe(false)
    else expect(same, found).toBe(true)
  }
}

describe('questions', () => {
  it.each(names)('%s: as on Node', (name) => {
    const [ours, node] = [runOnOurs(programOf(name)), runOnNode(programOf(name))]
    compare(ours.stdout, node.stdout, { wrong: nodeIsWrong[name], mayBeWrong: nodeMayBeWrong[name] })
    expect([ours.exitCode, ours.stderr, ours.files]).toEqual([node.exitCode, node.stderr, node.files])
    expect(ours.exitCode).toBe(name === 'arguments' ? 43 : 0)
  })

  it.each(names)('%s: as on Wasmer, where that is right', (name) => {
    const [ours, wasmer] = [runOnOurs(programOf(name)), runOnWasmer(programOf(name))]
    const end = wasmerPanics[name]
    compare(ours.stdout, wasmer.stdout, { wrong: wasmerIsWrong[name], end })
    expect(wasmer.exitCode).toBe(end === undefined ? ours.exitCode : -1)
    // An exit code other than 0 locks its files for good, as a panic does.
    const complete = wasmer.exitCode === 0 && wasmerIsWrong[name] === undefined
    if (complete) expect(wasmer.files).toEqual(ours.files)
  })
})

describe('samples', () => {
  it.each(Object.keys(samplePrograms).filter((name) => name !== 'sleeper'))(
    '%s gives the same as on Wasmer',
    (name) => {
      const { says, ...program } = samplePrograms[name] ?? expect.fail('no such sample')
      const ours = runOnOurs({ module: sample(name), ...program })
      expect(runOnWasmer({ module: sample(name), ...program })).toEqual(ours)
      expect(ours.stdout).toMatch(says)
    },
  )

  it('sleeper would, but Wasmer panics when a program sleeps', () => {
    const { exitCode, stdout } = runOnWasmer({ module: sample('sleeper'), args: ['sleeper', '2', '1'] })
    expect([exitCode, stdout]).toEqual([-1, 'line 1\n'])
  })
})

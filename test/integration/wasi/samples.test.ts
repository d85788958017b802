// The samples give the same on ours and on Node's WASI: output, exit code, files.
import { describe, expect, it } from 'vitest'
import { operations, picture, recording } from './inputs.ts'
import { type Program, runOnNode, runOnOurs, sample } from './programs.ts'

const text = operations(500)

const programs: Readonly<Record<string, Omit<Program, 'module'> & { readonly says: RegExp }>> = {
  edges: {
    args: ['edges', '/in/picture.ppm', '/out/edges.pgm', '2'],
    files: [{ path: '/in/picture.ppm', bytes: picture(120, 80) }],
    says: /^120 x 80 pixels, 2 rounds, \d+\.\d\d % on edges\n$/,
  },
  spectrum: {
    args: ['spectrum', '/in/tone.wav', '/tmp/tone.csv', '512'],
    files: [{ path: '/in/tone.wav', bytes: recording(0.5) }],
    says: /strongest at 1000\.0 Hz\n$/,
  },
  kvstore: {
    args: ['kvstore', '/in/log.txt', '/results.txt', '2'],
    files: [{ path: '/in/log.txt', bytes: text }],
    says: /^\d+ operations, \d+ answers, \d+ keys left\n$/,
  },
  checksum: {
    args: ['checksum', '-n', '2', '/in/a.txt', '/in/empty'],
    files: [
      { path: '/in/a.txt', bytes: text },
      { path: '/in/empty', bytes: new Uint8Array(0) },
    ],
    says: /e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 {2}00000000 {2}0 {2}\/in\/empty\n$/,
  },
  matmul: { args: ['matmul', '64', '2'], says: /^64 x 64, 2 rounds: trace / },
  primes: { args: ['primes', '100000'], says: /^9592 primes up to 100000, the greatest is 99991\n$/ },
  queens: { args: ['queens', '8'], says: /^8 queens: 92 ways\n$/ },
  wordcount: {
    args: ['wordcount', '/in/a.txt', '5'],
    files: [{ path: '/in/a.txt', bytes: text }],
    says: /^500 lines, \d+ words, \d+ bytes\n/,
  },
  sleeper: { args: ['sleeper', '3', '5'], says: /^line 1\nline 2\nline 3\n$/ },
  bigheap: { args: ['bigheap', '2', '64', '60', '5'], says: /^filled\n5 [0-9a-f]{16}\n$/ },
}

describe('samples', () => {
  it.each(Object.entries(programs))('%s gives the same as on Node', (name, { says, ...program }) => {
    const ours = runOnOurs({ module: sample(name), ...program })
    expect(ours.stdout).toMatch(says)
    expect(ours).toEqual(runOnNode({ module: sample(name), ...program }))
    expect(ours.exitCode).toBe(0)
  })

  it.each([
    ['exit', ['fault', 'exit', '42'], 42],
    ['wrong use', ['fault', 'exit', 'x'], 2],
    ['no mode', ['fault'], 2],
  ] as const)('fault: %s', (_, args, exitCode) => {
    const ours = runOnOurs({ module: sample('fault'), args })
    expect(ours.exitCode).toBe(exitCode)
    expect(ours).toEqual(runOnNode({ module: sample('fault'), args }))
  })

  it('a missing input is said and ends with 1', () => {
    const program = { module: sample('edges'), args: ['edges', '/in/none.ppm', '/out.pgm'] }
    const ours = runOnOurs(program)
    expect(ours).toEqual(runOnNode(program))
    expect(ours).toMatchObject({ exitCode: 1, stderr: 'cannot read /in/none.ppm: No such file or directory\n' })
  })

  it('fault: a full disk is an errno, and the program goes on', () => {
    const ours = runOnOurs({ module: sample('fault'), args: ['fault', 'fill', '/tmp/x'], diskBytes: 1_000_000 })
    expect(ours).toMatchObject({ exitCode: 4, stdout: '1000000 bytes written, then: No space left on device\n' })
  })

  it.each([
    ['flood', { code: 'CELL_OUTPUT_LIMIT' }],
    ['trap', { name: 'RuntimeError', message: expect.stringContaining('unreachable') }],
    ['abort', { name: 'RuntimeError' }],
    ['divide', { name: 'RuntimeError', message: expect.stringContaining('divide by zero') }],
    ['pointer', { name: 'RuntimeError', message: expect.stringContaining('memory access out of bounds') }],
    ['recurse', { name: 'RangeError', message: expect.stringContaining('call stack') }],
  ])('fault: %s', (mode, error) => {
    expect(() => runOnOurs({ module: sample('fault'), args: ['fault', mode] })).toThrow(expect.objectContaining(error))
  })
})

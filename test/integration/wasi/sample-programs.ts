// The samples with arguments and inputs.
import { operations, picture, recording } from './inputs.ts'
import type { Program } from './programs.ts'

const text = operations(500)

/** How the samples are run to compare two WASIs, and what they say. */
export const samplePrograms: Readonly<Record<string, Omit<Program, 'module'> & { readonly says: RegExp }>> = {
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
  calls: { args: ['calls'], says: /^20000 writes, 20000 reads, 20000 times, 500 files\n$/ },
  sleeper: { args: ['sleeper', '3', '5'], says: /^line 1\nline 2\nline 3\n$/ },
  bigheap: { args: ['bigheap', '2', '64', '60', '5'], says: /^filled\n5 [0-9a-f]{16}\n$/ },
}

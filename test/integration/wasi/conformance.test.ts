// Our WASI and Node's answer the same to every question that a C library asks: see probe/probe.c.
// Left out, because Node's (uvwasi) departs from POSIX there: listing while removing, a short readlink, O_NOFOLLOW on a
// link, polling a file, the exact length of a sleep. The unit tests hold ours to POSIX in those.
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { utf8 } from '../../../core/bytes.ts'
import { runOnNode, runOnOurs } from './programs.ts'

const module = new Uint8Array(readFileSync(new URL('./probe/probe.wasm', import.meta.url)))

it('answers as Node does', () => {
  const program = {
    module,
    args: ['probe', 'two words', 'ünïcode', ''],
    env: { SET: 'a=b', EMPTY: '' },
    files: [{ path: '/in/deep/input.txt', bytes: utf8('input') }],
    stdin: utf8('first and the rest'),
  }
  const ours = runOnOurs(program)
  const node = runOnNode(program)
  expect(ours.stdout.split('\n')).toEqual(node.stdout.split('\n'))
  expect(ours).toEqual(node)
  expect(ours.exitCode).toBe(7)
})

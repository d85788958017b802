// Verbs that look at who holds the home, which is this process here.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CodedError } from '../../../core/errors.ts'
import type { Output } from '../../../node/cli/output.ts'
import type { VerbContext } from '../../../node/cli/verb.ts'
import { meshVerbs } from '../../../node/cli/verbs-mesh.ts'
import { peerVerbs } from '../../../node/cli/verbs-peer.ts'
import type { ControlClient } from '../../../node/control/client.ts'
import { Home } from '../../../node/home.ts'

let home: Home
beforeEach(async () => {
  home = await Home.open(await mkdtemp(join(tmpdir(), 'cloudskin-verbs-')))
})
afterEach(async () => {
  await home.close()
  await rm(home.path, { recursive: true })
})

async function run(name: string, args: readonly string[], peer: VerbContext['peer']) {
  const verb = [...meshVerbs, ...peerVerbs].find((one) => one.name === name)
  const values: unknown[] = []
  const out: Partial<Output> = {
    value: (value) => values.push(value),
    line: () => undefined,
    table: () => undefined,
    note: () => undefined,
    progress: () => undefined,
  }
  const { signal } = new AbortController()
  const context = { flags: {}, args, rest: [], env: {}, home: home.path, out: out as Output, signal, peer }
  return { code: await verb?.run(context), values }
}

test('down returns when the home is held by a peer that somebody started since', async () => {
  const pid = process.pid + 1
  const client = { call: async () => ({ pid }) } as unknown as ControlClient
  expect(await run('down', [], async () => client)).toEqual({ code: 0, values: [{ stopped: true, pid }] })
})

test('config show tells of a peer to be while the one that is starting does not answer', async () => {
  const unreachable = () => Promise.reject(new CodedError('CONTROL_UNREACHABLE', 'no socket yet'))
  const { code, values } = await run('config', ['show'], unreachable)
  expect(code).toBe(0)
  expect(values).toMatchObject([{ file: join(home.path, 'config.toml') }])
  const failing = () => Promise.reject(new CodedError('CONTROL_FAILED', 'it is broken'))
  await expect(run('config', ['show'], failing)).rejects.toMatchObject({ code: 'CONTROL_FAILED' })
})

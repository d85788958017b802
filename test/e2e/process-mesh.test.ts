import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { expect, it } from 'vitest'
import { until } from '../../testnet/processes/until.ts'
import { QUICK } from './fixture.ts'

const MESH = new URL('../../testnet/processes/mesh.ts', import.meta.url).href

/** As the demo and the benches do: starts a peer, and goes on to whatever `then` says. */
const program = (then: string): string => `
  const { ProcessMesh } = await import(${JSON.stringify(MESH)})
  const mesh = await ProcessMesh.create()
  const peer = await mesh.start({ name: 'a', flags: ${JSON.stringify(QUICK)} })
  console.log(JSON.stringify({ pid: peer.process.pid, folder: mesh.folder }))
  ${then}`

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

it.each([
  ['is told to end', 'await new Promise((resolve) => setTimeout(resolve, 1e9))'],
  ['fails', 'throw new Error("unforeseen")'],
])('leaves no peer and no home behind when the program that started them %s', async (_, then) => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', program(then)], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const exited = once(child, 'exit')
  const [said] = (await once(child.stdout, 'data')) as [Buffer]
  const { pid, folder } = JSON.parse(said.toString()) as { pid: number; folder: string }
  child.kill('SIGTERM')
  await exited
  await until('the peer has ended', async () => !lives(pid))
  expect(existsSync(folder)).toBe(false)
})

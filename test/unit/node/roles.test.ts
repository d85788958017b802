import { expect, test } from 'vitest'
import { destinationByRole, hostByRole, viewByRole } from '../../../node/adapters/roles.ts'
import { ROLES, type Role } from '../../../protocols/admission/index.ts'
import type { DestinationPort } from '../../../protocols/migration/index.ts'
import type { HostPort } from '../../../protocols/placement/index.ts'
import type { MeshView } from '../../../protocols/state/index.ts'

const SHOWN: Readonly<Record<string, readonly Role[]>> = { all: ROLES, host: ['host'], submit: ['submit'], none: [] }

/** The admission of a peer with `roles` that has met the peers of `SHOWN`. */
const admission = (roles: readonly Role[]): Parameters<typeof hostByRole>[1] => ({
  roles,
  rolesOf: (peer) => (peer === 'self' ? roles : (SHOWN[peer] ?? [])),
  gate: {
    admitted: (peer) => SHOWN[peer] !== undefined,
    ensure: async () => undefined,
    onChange: () => () => undefined,
  },
})
const ends = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'done',
    (error: { code?: string }) => error.code,
  )

test('only peers that may submit have cells run, and only where that peer may host', async () => {
  const inner = { consider: async () => ({}), start: async () => undefined } as unknown as HostPort
  const ask = (host: HostPort, from: string): Promise<unknown[]> =>
    Promise.all([ends(host.consider({} as never, from)), ends(host.start({ from } as never))])
  const host = hostByRole(inner, admission(['host', 'submit']))
  for (const from of ['all', 'submit', 'self']) expect(await ask(host, from)).toEqual(['done', 'done'])
  for (const from of ['host', 'none', 'stranger'])
    expect(await ask(host, from)).toEqual(['NOT_SUBMITTER', 'NOT_SUBMITTER'])
  expect(await ask(hostByRole(inner, admission(['submit'])), 'all')).toEqual(['NOT_HOST', 'NOT_HOST'])
})

test('a cell moves from hosts to hosts', async () => {
  const inner = { prepare: async () => undefined } as unknown as DestinationPort
  const move = (own: readonly Role[], from: string): Promise<unknown> =>
    ends(destinationByRole(inner, admission(own)).prepare({} as never, from, { signal: AbortSignal.abort() }))
  expect(await move(['host'], 'host')).toBe('done')
  expect(await move(['host'], 'submit')).toBe('NOT_HOST')
  expect(await move(['submit'], 'host')).toBe('NOT_HOST')
})

test('what a peer claims of its roles counts only until it has shown them', () => {
  const claimed = (peer: string) => ({ self: peer === 'self', record: { peer, roles: ROLES } })
  const view = { peers: () => ['self', 'submit', 'stranger'].map(claimed) } as unknown as MeshView
  const peers = viewByRole(view, admission(['host'])).peers()
  expect(peers.map(({ record }) => record.roles)).toEqual([['host'], ['submit'], ROLES])
})

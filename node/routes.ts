// The control API's routes: each reads what it was given, asks the part that knows, and answers in the shapes of `api.ts`.
import { pipe } from 'it-pipe'
import { concat } from '../core/bytes.ts'
import * as s from '../core/shape.ts'
import type { Admission } from '../protocols/admission/index.ts'
import { ROLES, stateOf, type TicketRecord } from '../protocols/admission/index.ts'
import type { BlobStore } from '../protocols/blobs/index.ts'
import { MAX_STDIN_PIECE_BYTES } from '../protocols/placement/index.ts'
import type { MeshView } from '../protocols/state/index.ts'
import { namesIn, roundTripIn, rowOf, zonesIn } from './adapters/mesh-facts.ts'
import type { Desk } from './cells/desk.ts'
import { onePeer } from './cells/submission.ts'
import {
  type ConfigReply,
  type InviteReply,
  MAX_TICKET_TTL_MS,
  MAX_TICKET_USES,
  type ModelReply,
  type StatusReply,
  type SubmitRequest,
} from './control/api.ts'
import type { ControlErrorCode } from './control/errors.ts'
import { badRequest, type ControlRequest, type Routes } from './control/server.ts'

export interface RouteParts {
  readonly desk: Desk
  readonly store: BlobStore
  readonly admission: Admission
  readonly view: MeshView
  readonly config: ConfigReply
  status(): StatusReply
  model(): ModelReply
  /** Opens a round and resolves when it has ended. */
  round(signal: AbortSignal): Promise<void>
  addresses(): readonly string[]
  now(): number
  /** Asks the process to go down; resolves at once. */
  goDown(): void
}

const limitsShape = s.object({
  memoryBytes: s.optional(s.integer(1)),
  wallMs: s.optional(s.integer(1)),
  fuel: s.optional(s.integer(1)),
  outputBytes: s.optional(s.integer(0)),
  diskBytes: s.optional(s.integer(0)),
})

const submitShape = s.object({
  name: s.text(128),
  module: s.text(64),
  args: s.list(s.text(4096), 256),
  env: s.record(s.text(4096), 256),
  inputs: s.list(s.object({ path: s.text(1024), cid: s.text(64) }), 256),
  stdin: s.optional(s.text(64)),
  outputs: s.list(s.text(1024), 256),
  limits: limitsShape,
  engine: s.optional(s.oneOf('wasi', 'wasix')),
  migratable: s.optional(s.boolean),
  nan: s.optional(s.oneOf('native', 'canonical')),
  stdinOpen: s.optional(s.boolean),
  seed: s.optional(s.text(256)),
  constraints: s.object({
    labels: s.record(s.text(256), 64),
    zone: s.optional(s.text(128)),
    peer: s.optional(s.text(128)),
  }),
})
const inviteShape = s.object({
  ttlMs: s.integer(1000, MAX_TICKET_TTL_MS),
  roles: s.optional(s.list(s.oneOf(...ROLES), ROLES.length)),
  uses: s.optional(s.integer(1, MAX_TICKET_USES)),
})
const migrateShape = s.object({ to: s.optional(s.text(128)) })
const resolveShape = s.object({ decision: s.oneOf('resume', 'drop') })

export function routesOf(parts: RouteParts): Routes {
  const { desk, store, admission, view } = parts
  const cell = (request: ControlRequest): string => request.params.cell ?? ''
  return {
    'GET /status': async () => parts.status(),
    'GET /config': async () => parts.config,
    'GET /peers': async () => ({ peers: view.peers().map(rowOf) }),
    'GET /zones': async () => ({ zones: zonesIn(view) }),
    'GET /rtt': async ({ query }) => {
      const names = namesIn(view)
      const [from, to] = ['from', 'to'].map((end) => onePeer(names, query.get(end) ?? '')) as [string, string]
      return { from, to, ...roundTripIn(view, from, to) }
    },
    'POST /blobs': async (request) => ({ cid: await upload(store, request) }),
    'POST /cells': async (request) => desk.submit((await read(request, submitShape)) as SubmitRequest),
    'GET /cells': async ({ query }) => ({ cells: desk.list(query.has('all')) }),
    'GET /cells/:cell': async (request) => desk.get(cell(request)),
    'GET /cells/:cell/why': async (request) => desk.why(cell(request)),
    'GET /cells/:cell/events': async (request) => {
      desk.get(cell(request))
      return desk.events(cell(request), request.query.has('follow'), request.signal)
    },
    'GET /cells/:cell/file': async (request) =>
      desk.file(cell(request), request.query.get('path') ?? '', request.signal),
    'POST /cells/:cell/stdin': async (request) => {
      const { query, signal } = request
      const [at, writer] = [Number(query.get('at') ?? Number.NaN), query.get('writer') ?? '']
      if (!Number.isSafeInteger(at) || at < 0) throw badRequest('at is the number of bytes that came before')
      if (writer === '' || writer.length > 64) throw badRequest('writer is a text of up to 64 characters')
      const bytes = await piece(request)
      return desk.writeStdin(cell(request), { at, writer, bytes, end: query.has('end') }, signal)
    },
    'POST /cells/:cell/stop': async (request) => desk.stop(cell(request)),
    'POST /cells/:cell/rm': async (request) => desk.forget(cell(request)),
    'POST /cells/:cell/rerun': async (request) => desk.rerun(cell(request)),
    'POST /cells/:cell/migrate': async (request) => desk.migrate(cell(request), (await read(request, migrateShape)).to),
    'POST /cells/:cell/resolve': async (request) =>
      desk.resolve(cell(request), (await read(request, resolveShape)).decision),
    'GET /model': async () => parts.model(),
    'POST /model/round': async (request) => {
      await parts.round(request.signal)
      return parts.model()
    },
    'POST /invites': async (request) => {
      const { ttlMs, roles = ['host', 'submit'], uses = 1 } = await read(request, inviteShape)
      const { text, record } = await admission.createTicket({ ttlMs, roles, uses, addresses: parts.addresses() })
      return { ...inviteReply(record, parts.now()), ticket: text }
    },
    'GET /invites': async () => {
      const records = await admission.listTickets()
      return { invites: records.map((record) => inviteReply(record, parts.now())) }
    },
    'DELETE /invites/:id': async (request) =>
      inviteReply(await admission.revokeTicket(request.params.id ?? ''), parts.now()),
    'POST /down': async () => {
      parts.goDown()
      return parts.status()
    },
  }
}

async function read<T>(request: ControlRequest, shape: s.Shape<T>): Promise<T> {
  const code: ControlErrorCode = 'CONTROL_BAD_REQUEST'
  // The same shapes as on the wire: JSON comes as the plain values that they check.
  return s.fromCbor(s.toCbor((await request.json()) ?? {}), shape, code)
}

/** A body that goes to a cell as one piece. */
async function piece(request: ControlRequest): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of request.body) {
    length += part.length
    if (length > MAX_STDIN_PIECE_BYTES) throw badRequest(`a piece has ${MAX_STDIN_PIECE_BYTES} bytes at most`)
    parts.push(part)
  }
  return concat(parts)
}

/** Streams an upload into the store. */
async function upload(store: BlobStore, request: ControlRequest): Promise<string> {
  const writer = await store.writer()
  try {
    await pipe(request.body, async (source) => {
      for await (const chunk of source) await writer.write(chunk)
    })
    return await writer.commit()
  } finally {
    await writer.abort()
  }
}

function inviteReply(record: TicketRecord, now: number): InviteReply {
  const { id, roles, createdAt, expiresAt, usedBy, uses } = record
  const [first] = usedBy
  return {
    id,
    roles,
    createdAt,
    expiresAt,
    uses,
    used: usedBy.length,
    state: stateOf(record, now),
    ...(first === undefined ? {} : { usedBy: first }),
  }
}

// Admission at work: shows and checks certificates, issues and redeems tickets, renews what runs out.
import { hex } from '../../core/bytes.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import { abortable, deadline, Tasks } from '../../core/lifecycle.ts'
import type { KitErrorCode } from '../kit/errors.ts'
import { request, serve } from '../kit/request.ts'
import type { HandlerContext, Network, PeerKey } from '../kit/types.ts'
import {
  type Certificate,
  decodeCertificate,
  issueCertificate,
  mayDelegate,
  ROLES,
  type Role,
  type SignedCertificate,
  verifyCertificate,
} from './certificate.ts'
import { admissionError } from './errors.ts'
import { certificateReplyShape, type Hello, helloShape, joinShape } from './messages.ts'
import { HELLO, JOIN, RENEW } from './protocol.ts'
import { redeem, secretHash, type TicketRecord, writeTicket } from './ticket.ts'
import type { Admission, AdmissionGate, AdmissionInit, TicketInit, TicketStore } from './types.ts'

const OPEN = 'open'
/** How often the own certificate is looked at. */
const RENEWAL_CHECK_MS = 10 * 60_000
/** A handshake is shared by all who wait for it, so it has a bound of its own. */
const GREETING_MS = 8_000
/** An open mesh admits whoever comes; of more than this, the first are asked to say hello again. */
const MAX_MEMBERS = 10_000

interface Member {
  readonly roles: readonly Role[]
  readonly expiresAt: number
}

export class AdmissionService implements Admission {
  readonly #init: AdmissionInit
  #certificate: SignedCertificate | undefined
  #network: Network | undefined
  #tasks: Tasks | undefined
  readonly #members = new Map<PeerKey, Member>()
  readonly #greeting = new Map<PeerKey, Promise<void>>()
  readonly #listeners = new Set<(peer: PeerKey) => void>()
  readonly #unhandle: (() => Promise<void>)[] = []
  /** Changes of tickets, one after the other: two devices with one ticket must not both find it unused. */
  #ticketWork: Promise<unknown> = Promise.resolve()

  constructor(init: AdmissionInit) {
    this.#init = init
    this.#certificate = init.membership.kind === 'closed' ? init.membership.certificate : undefined
  }

  attach(network: Network): void {
    this.#network = network
  }

  async start(): Promise<void> {
    if (this.#tasks !== undefined) return
    const network = this.#attached()
    const tasks = new Tasks({ onError: (error, name) => this.#init.log.error('%s: %e', name, error) })
    this.#tasks = tasks
    this.#unhandle.push(
      await network.handle(
        HELLO,
        serve(helloShape, (hello, context) => this.#onHello(hello, context)),
      ),
    )
    if (this.#init.membership.kind === 'open') return
    this.#unhandle.push(
      await network.handle(
        JOIN,
        serve(joinShape, (ask, context) => this.#onJoin(ask, context.peer)),
      ),
      await network.handle(
        RENEW,
        serve(helloShape, (_, context) => this.#onRenew(context.peer)),
      ),
    )
    tasks.run('renewing the certificate', (signal) => this.#renew(signal))
    tasks.every(
      'renewing the certificate',
      this.#init.clock,
      () => RENEWAL_CHECK_MS,
      (signal) => this.#renew(signal),
    )
  }

  async stop(): Promise<void> {
    const tasks = this.#tasks
    this.#tasks = undefined
    for (const unhandle of this.#unhandle.splice(0)) await unhandle()
    await tasks?.stop()
    this.#members.clear()
  }

  readonly gate: AdmissionGate = {
    admitted: (peer) => (this.#members.get(peer)?.expiresAt ?? 0) > this.#init.clock.now(),
    ensure: (peer, signal) => this.#ensure(peer, signal),
    onChange: (listener) => {
      this.#listeners.add(listener)
      return () => this.#listeners.delete(listener)
    },
  }

  get roles(): readonly Role[] {
    return this.#certificate === undefined ? ROLES : decodeCertificate(this.#certificate.bytes).roles
  }

  rolesOf(peer: PeerKey): readonly Role[] {
    return peer === this.#init.signer.self ? this.roles : (this.#members.get(peer)?.roles ?? [])
  }

  async createTicket(init: TicketInit): Promise<{ text: string; record: TicketRecord }> {
    const { membership, clock, random, signer } = this.#init
    if (membership.kind === 'open')
      throw admissionError('INVITE_NOT_ALLOWED', 'an open mesh needs no ticket: join it by an address')
    this.#mayIssue(init.roles)
    const now = clock.now()
    const secret = random.bytes(16)
    const record: TicketRecord = {
      id: hex(random.bytes(8)),
      secretHash: secretHash(secret),
      roles: init.roles,
      createdAt: now,
      expiresAt: now + init.ttlMs,
      uses: init.uses ?? 1,
      usedBy: [],
      revoked: false,
    }
    await this.#init.tickets.put(record)
    const { mesh, psk } = membership
    const { addresses, roles } = init
    const { id, expiresAt } = record
    const text = await writeTicket({ mesh, psk, issuer: signer.self, addresses, id, secret, roles, expiresAt }, signer)
    return { text, record }
  }

  listTickets(): Promise<readonly TicketRecord[]> {
    return this.#init.tickets.list()
  }

  revokeTicket(id: string): Promise<TicketRecord> {
    return this.#withTickets(async (tickets) => {
      const record = await tickets.get(id)
      if (record === undefined) throw admissionError('TICKET_UNKNOWN', `this peer issued no ticket ${id}`)
      const revoked = { ...record, revoked: true }
      await tickets.put(revoked)
      return revoked
    })
  }

  #withTickets<T>(work: (tickets: TicketStore) => Promise<T>): Promise<T> {
    const turn = this.#ticketWork.then(() => work(this.#init.tickets))
    this.#ticketWork = turn.catch(() => undefined)
    return turn
  }

  /** Says hello once per peer at a time; whoever waits for the same peer waits for the same answer. */
  async #ensure(peer: PeerKey, signal: AbortSignal): Promise<void> {
    if (this.gate.admitted(peer)) return
    let greeting = this.#greeting.get(peer)
    if (greeting === undefined) {
      greeting = this.#greet(peer).finally(() => this.#greeting.delete(peer))
      this.#greeting.set(peer, greeting)
    }
    await abortable(greeting, signal)
  }

  async #greet(peer: PeerKey): Promise<void> {
    const signal = deadline(GREETING_MS, this.#tasks?.signal)
    try {
      await this.#admit(peer, await request(this.#attached(), peer, HELLO, this.#hello(), helloShape, { signal }))
    } catch (error) {
      // The other side may have said hello to us meanwhile.
      if (this.gate.admitted(peer)) return
      // A refusal says by its code what the other side has against us.
      const facts = isCoded(error) ? { cause: error.facts.remoteCode ?? error.code } : {}
      const code: KitErrorCode = 'NOT_ADMITTED'
      throw new CodedError(code, `${peer} and this peer are not members of one mesh: ${messageOf(error)}`, {
        facts,
        cause: error,
      })
    }
  }

  #hello(): Hello {
    const { membership, agentVersion: agent } = this.#init
    return membership.kind === 'open' || this.#certificate === undefined
      ? { mesh: OPEN, agent }
      : { mesh: membership.mesh, agent, certificate: this.#certificate }
  }

  async #onHello(hello: Hello, { peer }: HandlerContext): Promise<Hello> {
    await this.#admit(peer, hello)
    return this.#hello()
  }

  async #admit(peer: PeerKey, hello: Hello): Promise<void> {
    const { membership, clock } = this.#init
    const ours = membership.kind === 'open' ? OPEN : membership.mesh
    if (hello.mesh !== ours)
      throw admissionError('OTHER_MESH', `this peer is in mesh ${ours.slice(0, 12)}, not in ${hello.mesh.slice(0, 12)}`)
    let member: Member = { roles: ROLES, expiresAt: Number.MAX_SAFE_INTEGER }
    if (membership.kind === 'closed') {
      if (hello.certificate === undefined) throw admissionError('CERTIFICATE_INVALID', 'a member shows a certificate')
      member = await verifyCertificate(hello.certificate, { mesh: membership.mesh, peer }, clock.now())
    }
    this.#members.delete(peer)
    this.#members.set(peer, { roles: member.roles, expiresAt: member.expiresAt })
    if (this.#members.size > MAX_MEMBERS) this.#members.delete(this.#members.keys().next().value ?? '')
    for (const listener of this.#listeners) listener(peer)
  }

  /** The ticket is marked as used by this peer, durably, before the certificate leaves; and not at all if none can be made. */
  #onJoin(ask: { id: string; secret: Uint8Array }, peer: PeerKey): Promise<{ certificate: SignedCertificate }> {
    return this.#withTickets(async (tickets) => {
      const before = await tickets.get(ask.id)
      const record = redeem(before, ask.secret, peer, this.#init.clock.now())
      const certificate = await this.#issue(peer, record.roles)
      if (record !== before) await tickets.put(record)
      return { certificate }
    })
  }

  async #onRenew(peer: PeerKey): Promise<{ certificate: SignedCertificate }> {
    const member = this.#members.get(peer)
    if (member === undefined) throw admissionError('CERTIFICATE_INVALID', 'only a member can renew')
    this.#mayIssue(member.roles)
    return { certificate: await this.#issue(peer, member.roles) }
  }

  async #issue(peer: PeerKey, roles: readonly Role[]): Promise<SignedCertificate> {
    const { membership, owner, signer, clock } = this.#init
    if (membership.kind === 'open') throw admissionError('INVITE_NOT_ALLOWED', 'an open mesh issues no certificates')
    this.#mayIssue([])
    const ask = { mesh: membership.mesh, peer, roles, now: clock.now() }
    const own = this.#certificate
    if (owner !== undefined || own === undefined) return issueCertificate(owner ?? signer, ask)
    return issueCertificate(signer, { ...ask, issuerCertificate: own })
  }

  /** Throws `INVITE_NOT_ALLOWED` where a certificate with `roles` by this peer would not hold. */
  #mayIssue(roles: readonly Role[]): void {
    if (this.#init.owner !== undefined) return
    const lacking = roles.filter((role) => !this.roles.includes(role))
    const own = this.#certificate
    let why: string | undefined
    if (own === undefined || !this.roles.includes('invite'))
      why = 'it holds neither the owner key nor the role "invite"'
    else if (!mayDelegate(own)) why = 'it was itself invited by an invited peer, and the chain may not grow longer'
    else if (lacking.length > 0) why = `it has not the roles it would give: ${lacking.join(', ')}`
    if (why === undefined) return
    throw admissionError('INVITE_NOT_ALLOWED', `this peer may not invite: ${why}; ask on a peer nearer to the owner`)
  }

  /** With less than a third of its life left, the own certificate is renewed by whoever may, for as long as it can. */
  async #renew(signal: AbortSignal): Promise<void> {
    const current = this.#certificate
    if (current === undefined) return
    const { issuedAt, expiresAt, roles } = decodeCertificate(current.bytes)
    if (expiresAt - this.#init.clock.now() > (expiresAt - issuedAt) / 3) return
    const { owner, signer, log } = this.#init
    if (owner !== undefined) return this.#adopt(await this.#issue(signer.self, this.roles), signal)
    const network = this.#attached()
    for (const { peer } of network.connected()) {
      if (!this.rolesOf(peer).includes('invite')) continue
      try {
        const { certificate } = await request(network, peer, RENEW, this.#hello(), certificateReplyShape, { signal })
        // A delegate's own certificate bounds what it can give; and who gives less has no say over what one has.
        const offered = decodeCertificate(certificate.bytes)
        if (offered.expiresAt > expiresAt && roles.every((role) => offered.roles.includes(role)))
          return await this.#adopt(certificate, signal)
      } catch (error) {
        log('%s did not renew: %s', peer, messageOf(error))
      }
    }
    const end = new Date(expiresAt).toISOString()
    if (expiresAt > this.#init.clock.now())
      log.error('the certificate ends at %s, and no connected peer renews it', end)
    else
      log.error('the certificate ended at %s and nobody admits this peer: start it with --join and a new ticket', end)
  }

  async #adopt(certificate: SignedCertificate, signal: AbortSignal): Promise<void> {
    const { membership, signer, clock, log } = this.#init
    if (membership.kind === 'open') return
    const expected = { mesh: membership.mesh, peer: signer.self }
    const fresh: Certificate = await verifyCertificate(certificate, expected, clock.now())
    await this.#init.onRenewed(certificate)
    this.#certificate = certificate
    log('certificate renewed until %s', new Date(fresh.expiresAt).toISOString())
    // The others know the old one's end: they are shown the new one before that.
    const shown = this.#attached()
      .connected()
      .map(({ peer }) => this.#greet(peer).catch((error: unknown) => log('%s: %s', peer, messageOf(error))))
    await abortable(Promise.all(shown), signal)
  }

  #attached(): Network {
    if (this.#network === undefined) throw new Error('admission was not attached to a network')
    return this.#network
  }
}

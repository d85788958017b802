// Admission at work: shows and checks certificates, issues and redeems tickets, renews what runs out.
import { hex } from '../../core/bytes.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import { Tasks } from '../../core/lifecycle.ts'
import type { KitErrorCode } from '../kit/errors.ts'
import { request, serve } from '../kit/request.ts'
import type { HandlerContext, Network, PeerKey } from '../kit/types.ts'
import {
  type Certificate,
  decodeCertificate,
  issueCertificate,
  ROLES,
  type Role,
  type SignedCertificate,
  verifyCertificate,
} from './certificate.ts'
import { admissionError } from './errors.ts'
import { certificateReplyShape, type Hello, helloShape, joinShape } from './messages.ts'
import { HELLO, JOIN, RENEW } from './protocol.ts'
import { redeem, secretHash, type TicketRecord, writeTicket } from './ticket.ts'
import type { Admission, AdmissionGate, AdmissionInit, TicketInit } from './types.ts'

const OPEN = 'open'
/** How often the own certificate is looked at. */
const RENEWAL_CHECK_MS = 10 * 60_000

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
    if (this.#init.owner === undefined && !this.roles.includes('invite'))
      throw admissionError(
        'INVITE_NOT_ALLOWED',
        'this peer may not invite; ask on one that holds the owner key or the role "invite"',
      )
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

  async revokeTicket(id: string): Promise<TicketRecord> {
    const record = await this.#init.tickets.get(id)
    if (record === undefined) throw admissionError('TICKET_UNKNOWN', `this peer issued no ticket ${id}`)
    const revoked = { ...record, revoked: true }
    await this.#init.tickets.put(revoked)
    return revoked
  }

  /** Says hello once per peer at a time; whoever waits for the same peer waits for the same answer. */
  async #ensure(peer: PeerKey, signal: AbortSignal): Promise<void> {
    if (this.gate.admitted(peer)) return
    let greeting = this.#greeting.get(peer)
    if (greeting === undefined) {
      greeting = this.#greet(peer, signal).finally(() => this.#greeting.delete(peer))
      this.#greeting.set(peer, greeting)
    }
    await greeting
  }

  async #greet(peer: PeerKey, signal: AbortSignal): Promise<void> {
    try {
      await this.#admit(peer, await request(this.#attached(), peer, HELLO, this.#hello(), helloShape, { signal }))
    } catch (error) {
      // The other side may have said hello to us meanwhile.
      if (this.gate.admitted(peer)) return
      const facts = isCoded(error) ? { cause: error.code } : {}
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
    this.#members.set(peer, { roles: member.roles, expiresAt: member.expiresAt })
    for (const listener of this.#listeners) listener(peer)
  }

  /** The ticket is marked as used, by this peer, before the certificate leaves. */
  async #onJoin(ask: { id: string; secret: Uint8Array }, peer: PeerKey): Promise<{ certificate: SignedCertificate }> {
    const { tickets, clock } = this.#init
    const before = await tickets.get(ask.id)
    const record = redeem(before, ask.secret, peer, clock.now())
    if (record !== before) await tickets.put(record)
    return { certificate: await this.#issue(peer, record.roles) }
  }

  async #onRenew(peer: PeerKey): Promise<{ certificate: SignedCertificate }> {
    const member = this.#members.get(peer)
    if (member === undefined) throw admissionError('CERTIFICATE_INVALID', 'only a member can renew')
    return { certificate: await this.#issue(peer, member.roles) }
  }

  async #issue(peer: PeerKey, roles: readonly Role[]): Promise<SignedCertificate> {
    const { membership, owner, signer, clock } = this.#init
    if (membership.kind === 'open') throw admissionError('INVITE_NOT_ALLOWED', 'an open mesh issues no certificates')
    const { mesh } = membership
    if (owner !== undefined) return issueCertificate(owner, { mesh, peer, roles, now: clock.now() })
    if (!this.roles.includes('invite') || this.#certificate === undefined)
      throw admissionError('INVITE_NOT_ALLOWED', 'this peer may not issue certificates')
    return issueCertificate(signer, { mesh, peer, roles, now: clock.now(), issuerCertificate: this.#certificate })
  }

  /** With less than a third of its life left, the own certificate is renewed by whoever may. */
  async #renew(signal: AbortSignal): Promise<void> {
    const current = this.#certificate
    if (current === undefined) return
    const { issuedAt, expiresAt } = decodeCertificate(current.bytes)
    const now = this.#init.clock.now()
    if (expiresAt - now > (expiresAt - issuedAt) / 3) return
    const { owner, signer } = this.#init
    if (owner !== undefined) return this.#adopt(await this.#issue(signer.self, this.roles))
    const network = this.#attached()
    for (const { peer } of network.connected()) {
      if (!this.rolesOf(peer).includes('invite')) continue
      try {
        const { certificate } = await request(network, peer, RENEW, this.#hello(), certificateReplyShape, { signal })
        return await this.#adopt(certificate)
      } catch (error) {
        this.#init.log('%s did not renew: %s', peer, messageOf(error))
      }
    }
    this.#init.log.error(
      'the certificate ends at %s, and no connected peer renews it',
      new Date(expiresAt).toISOString(),
    )
  }

  async #adopt(certificate: SignedCertificate): Promise<void> {
    const { membership, signer, clock } = this.#init
    if (membership.kind === 'open') return
    const expected = { mesh: membership.mesh, peer: signer.self }
    const fresh: Certificate = await verifyCertificate(certificate, expected, clock.now())
    await this.#init.onRenewed(certificate)
    this.#certificate = certificate
    this.#init.log('certificate renewed until %s', new Date(fresh.expiresAt).toISOString())
  }

  #attached(): Network {
    if (this.#network === undefined) throw new Error('admission was not attached to a network')
    return this.#network
  }
}

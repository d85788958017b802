import { generateKeyPair } from '@libp2p/crypto/keys'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { CodedError } from '../../../core/errors.ts'
import {
  looksLikeTicket,
  readTicket,
  redeem,
  secretHash,
  stateOf,
  type Ticket,
  type TicketRecord,
  writeTicket,
} from '../../../protocols/admission/ticket.ts'
import { signerOf } from '../../../protocols/kit/signing.ts'
import type { Signer } from '../../../protocols/kit/types.ts'

const NOW = 1_800_000_000_000
const SECRET = new Uint8Array(16).fill(9)
let signer: Signer
let ticket: Ticket
let text: string

beforeAll(async () => {
  signer = signerOf(await generateKeyPair('Ed25519'))
  ticket = {
    mesh: 'a'.repeat(64),
    psk: new Uint8Array(32).fill(1),
    issuer: signer.self,
    addresses: ['/ip4/192.0.2.7/tcp/4170'],
    id: '0011223344556677',
    secret: SECRET,
    roles: ['host', 'submit'],
    expiresAt: NOW + 1000,
  }
  text = await writeTicket(ticket, signer)
})

describe('the text of a ticket', () => {
  test('goes out and comes in again, with blanks around it', async () => {
    expect(text).toMatch(/^cst1[a-z2-7]+$/)
    expect(await readTicket(`  ${text}\n`, NOW)).toEqual(ticket)
    expect([text, ` ${text}`, '/ip4/192.0.2.7/tcp/1/p2p/x'].map(looksLikeTicket)).toEqual([true, true, false])
  })

  test('of a host with many interfaces holds those by which others can reach it', async () => {
    const far = Array.from({ length: 14 }, (_, n) => `/ip4/192.0.2.${n}/tcp/4170/p2p/${signer.self}`)
    const near = ['/ip4/127.0.0.1/tcp/4170', '/ip6/::1/tcp/4170', '/ip4/127.0.0.1/tcp/4171/ws']
    const endless = `/dns4/${'a'.repeat(300)}/tcp/4170`
    const many = await writeTicket({ ...ticket, addresses: [...near, endless, ...far] }, signer)
    expect((await readTicket(many, NOW)).addresses).toEqual([...far, ...near.slice(0, 2)])
  })

  test('with as much as fits in it can be read', async () => {
    const addresses = Array.from({ length: 40 }, (_, n) => `/dns4/${`${n}`.padStart(240, 'x')}/tcp/4170`)
    const full = await writeTicket({ ...ticket, addresses }, signer)
    expect((await readTicket(full, NOW)).addresses).toHaveLength(16)
  })

  test('past its end is expired', async () => {
    await expect(readTicket(text, NOW + 1001)).rejects.toMatchObject({ code: 'TICKET_EXPIRED' })
  })

  test('by another than it names is forged', async () => {
    const other = signerOf(await generateKeyPair('Ed25519'))
    await expect(readTicket(await writeTicket(ticket, other), NOW)).rejects.toMatchObject({ code: 'TICKET_FORGED' })
  })

  test('cut, or with one character changed, is malformed and nothing worse', async () => {
    const alphabet = [...'abcdefghijklmnopqrstuvwxyz234567']
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: text.length - 1 }), fc.constantFrom(...alphabet), async (at, char) => {
        await expect(readTicket(text.slice(0, at), NOW)).rejects.toMatchObject({
          code: 'TICKET_MALFORMED',
          message: expect.stringMatching(/copy it again, whole|tickets begin with/),
        })
        const changed = text.slice(0, at) + char + text.slice(at + 1)
        if (changed === text) return
        const error: unknown = await readTicket(changed, NOW).then(
          (same) => expect(same).toEqual(ticket),
          (reason: unknown) => reason,
        )
        // The last character may carry bits that base32 does not use.
        if (error !== undefined)
          expect(error).toMatchObject({ code: expect.stringMatching(/^TICKET_(MALFORMED|FORGED)$/) })
      }),
      { numRuns: 60 },
    )
  })

  test('of any other text is malformed', async () => {
    const anything = fc.oneof(
      fc.string(),
      fc.string().map((tail) => `cst1${tail}`),
    )
    await fc.assert(
      fc.asyncProperty(anything, async (garbage) => {
        await expect(readTicket(garbage, NOW)).rejects.toBeInstanceOf(CodedError)
        await expect(readTicket(garbage, NOW)).rejects.toMatchObject({ code: 'TICKET_MALFORMED' })
      }),
    )
  })
})

describe('redeeming', () => {
  const record: TicketRecord = {
    id: '0011223344556677',
    secretHash: secretHash(SECRET),
    roles: ['host'],
    createdAt: NOW,
    expiresAt: NOW + 1000,
    uses: 1,
    usedBy: [],
    revoked: false,
  }

  test('marks the peer; again by the same peer changes nothing; by another it is used', () => {
    const used = redeem(record, SECRET, 'one', NOW)
    expect(used.usedBy).toEqual(['one'])
    expect(redeem(used, SECRET, 'one', NOW)).toBe(used)
    expect(() => redeem(used, SECRET, 'two', NOW)).toThrow(expect.objectContaining({ code: 'TICKET_USED' }))
    expect(redeem({ ...used, uses: 2 }, SECRET, 'two', NOW).usedBy).toEqual(['one', 'two'])
  })

  test('is refused with the reason', () => {
    const refused = (of: TicketRecord | undefined, secret = SECRET, now = NOW) => {
      try {
        redeem(of, secret, 'one', now)
      } catch (error) {
        return (error as CodedError).code
      }
      return undefined
    }
    expect(refused(undefined)).toBe('TICKET_UNKNOWN')
    expect(refused(record, new Uint8Array(16))).toBe('TICKET_UNKNOWN')
    expect(refused({ ...record, revoked: true })).toBe('TICKET_REVOKED')
    expect(refused(record, SECRET, NOW + 1001)).toBe('TICKET_EXPIRED')
    // Also to the peer that redeemed it: revoking keeps a lost answer from being asked for again.
    expect(refused({ ...record, usedBy: ['one'], revoked: true })).toBe('TICKET_REVOKED')
  })

  test('its state in lists', () => {
    expect(stateOf(record, NOW)).toBe('open')
    expect(stateOf(record, NOW + 1001)).toBe('expired')
    expect(stateOf({ ...record, usedBy: ['one'] }, NOW)).toBe('used')
    expect(stateOf({ ...record, revoked: true }, NOW)).toBe('revoked')
  })
})

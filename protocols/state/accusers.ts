// How far an accuser is believed: so many suspicions at a time, and no confirmation by one whose suspicions keep being refuted.
// An honest peer next to a starved one is wrong at times; a liar is wrong always, and in its own name. Pure.
import type { PeerKey } from '../kit/types.ts'
import { CLAIM_BURST, CLAIM_INTERVAL_MS, MAX_REFUTED, REFUTED_FADE_MS } from './protocol.ts'

interface Account {
  tokens: number
  tokensMs: number
  refuted: number
  refutedMs: number
}

export class Accusers {
  readonly #accounts = new Map<PeerKey, Account>()

  /** Whether one more suspicion of `accuser` is heard. */
  take(accuser: PeerKey, nowMs: number): boolean {
    const account = this.#account(accuser, nowMs)
    const tokens = Math.min(CLAIM_BURST, account.tokens + (nowMs - account.tokensMs) / CLAIM_INTERVAL_MS)
    account.tokensMs = nowMs
    account.tokens = tokens < 1 ? tokens : tokens - 1
    return tokens >= 1
  }

  refuted(accuser: PeerKey, nowMs: number): void {
    const account = this.#account(accuser, nowMs)
    account.refuted = this.#faded(account, nowMs) + 1
    account.refutedMs = nowMs
  }

  /** Whether its word confirms what others say. */
  isCredible(accuser: PeerKey, nowMs: number): boolean {
    const account = this.#accounts.get(accuser)
    return account === undefined || this.#faded(account, nowMs) < MAX_REFUTED
  }

  forget(peer: PeerKey): void {
    this.#accounts.delete(peer)
  }

  #faded({ refuted, refutedMs }: Account, nowMs: number): number {
    return Math.max(0, refuted - (nowMs - refutedMs) / REFUTED_FADE_MS)
  }

  #account(accuser: PeerKey, nowMs: number): Account {
    const known = this.#accounts.get(accuser)
    if (known !== undefined) return known
    const account = { tokens: CLAIM_BURST, tokensMs: nowMs, refuted: 0, refutedMs: nowMs }
    this.#accounts.set(accuser, account)
    return account
  }
}

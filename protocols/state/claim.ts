// "I cannot reach it": a suspicion, signed by whoever has it, so that nobody can speak for others or deny what it said.
import { concat, utf8 } from '../../core/bytes.ts'
import { CodedError } from '../../core/errors.ts'
import { toCbor } from '../../core/shape.ts'
import { signable } from '../kit/signing.ts'
import type { PeerKey, Signer } from '../kit/types.ts'
import type { StateErrorCode } from './errors.ts'
import type { Stamp } from './merge.ts'
import { CLAIM_DOMAIN } from './protocol.ts'
import type { Verify } from './record.ts'

export interface Claim extends Stamp {
  readonly about: PeerKey
  readonly accuser: PeerKey
  readonly signature: Uint8Array
  /** Throws `STATE_CLAIM_FORGED` unless the accuser signed it. */
  verify(): void
}

/** What an accuser signs: whom it suspects, and the newest version that it had heard of then. */
export interface Accusation extends Stamp {
  readonly about: PeerKey
}

export async function signClaim(accusation: Accusation, signer: Signer): Promise<Claim> {
  const signature = await signer.sign(signedBytes(accusation))
  // It is our own.
  return { ...accusation, accuser: signer.self, signature, verify: () => undefined }
}

export function claimOf(accusation: Accusation, accuser: PeerKey, signature: Uint8Array, verify: Verify): Claim {
  return {
    ...accusation,
    accuser,
    signature,
    verify: () => {
      if (verify(accuser, signedBytes(accusation), signature)) return
      throw new CodedError<StateErrorCode>(
        'STATE_CLAIM_FORGED',
        `a suspicion about ${accusation.about} was never signed by ${accuser}`,
        { facts: { about: accusation.about, accuser } },
      )
    },
  }
}

function signedBytes({ about, incarnation, version }: Accusation): Uint8Array {
  return signable(CLAIM_DOMAIN, concat([toCbor([incarnation, version]), utf8(about)]))
}

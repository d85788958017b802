// The addresses that a person gave with --join: an answer is expected from one of them, and its absence is said.
import type { Logger } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { type Clock, sleep } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { type Startable, Tasks } from '../core/lifecycle.ts'
import type { PeerKey } from '../protocols/kit/types.ts'
import type { NodeErrorCode } from './errors.ts'

/** Time for a few tries at every address, and for a peer on a slow board that starts together with this one. */
const PATIENCE_MS = 20_000

export interface GivenAddressesInit {
  /** Where all machines have one configuration, its addresses may be this peer's own. */
  readonly self: PeerKey
  /** Multiaddrs that end in a peer id. */
  readonly given: readonly string[]
  /** Members that this peer is connected with. */
  readonly members: () => readonly { readonly peer: PeerKey }[]
  readonly clock: Clock
  readonly log: Logger
}

export class GivenAddresses implements Startable {
  readonly #init: GivenAddressesInit
  #tasks: Tasks | undefined

  constructor(init: GivenAddressesInit) {
    this.#init = init
  }

  async start(): Promise<void> {
    const { clock, log } = this.#init
    if (this.#tasks !== undefined) return
    this.#tasks = new Tasks({ onError: (error, name) => log.error('%s: %s', name, messageOf(error)) })
    this.#tasks.run('waiting for an answer', async (signal) => {
      await sleep(clock, PATIENCE_MS, signal)
      this.#look()
    })
  }

  async stop(): Promise<void> {
    await this.#tasks?.stop()
    this.#tasks = undefined
  }

  #look(): void {
    const { self, members, log } = this.#init
    const given = this.#init.given.filter((text) => peerOf(text) !== self)
    const wanted = new Set(given.map(peerOf))
    if (given.length === 0 || members().some(({ peer }) => wanted.has(peer))) return
    const code: NodeErrorCode = 'JOIN_UNANSWERED'
    log.error(
      'nobody at %s answers yet as a member of this mesh: it may just not be up; if it is, check the address, and that it is in the same mesh; dialling goes on [%s]',
      given.join(', '),
      code,
    )
  }
}

const peerOf = (text: string): PeerKey | undefined => multiaddr(text).getComponents().at(-1)?.value

// Peers on joined in-memory networks: a host that counts what it holds, an authority that keeps what it is told.
import { defaultLogger } from '@libp2p/logger'
import { CodedError } from '../../../core/errors.ts'
import { systemRandom } from '../../../core/random.ts'
import { withLoopback } from '../../../protocols/kit/loopback.ts'
import type { MemoryMesh } from '../../../protocols/kit/memory-network.ts'
import type { Network, PeerKey, Signer } from '../../../protocols/kit/types.ts'
import {
  type Ask,
  askOf,
  type BidTerms,
  type CellEvent,
  type CellManifest,
  type Command,
  type CommandResult,
  expectFrom,
  type HostStart,
  type Inbox,
  type Placement,
  placement,
  type Room,
  type SignedManifest,
  type StartPlan,
  signManifest,
  take,
} from '../../../protocols/placement/index.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { manifestBy, newSigner } from '../../unit/placement/manifests.ts'

export class TestPeer {
  readonly key: PeerKey
  readonly network: Network
  readonly placement: Placement
  /** As a host. */
  readonly held = new Map<string, HostStart>()
  readonly commands: Command[] = []
  slots = 2
  terms: BidTerms = { backlogMs: 0, hasModule: true }
  refusal: CodedError | undefined
  /** Awaited inside a start, so that tests can hold it up. */
  startGate: Promise<void> = Promise.resolve()
  /** As an authority. */
  readonly inboxes = new Map<string, Inbox>()
  readonly told: { from: PeerKey; event: CellEvent }[] = []

  constructor(init: { readonly signer: Signer; readonly network: Network; readonly clock: ManualClock }) {
    this.key = init.signer.self
    this.network = init.network
    this.placement = placement({
      network: this.network,
      clock: init.clock,
      random: systemRandom,
      log: defaultLogger().forComponent('test'),
      host: {
        room: () => this.room(),
        consider: async (ask) => this.consider(ask),
        start: (order) => this.hold(order),
        epochOf: (cell) => this.held.get(cell)?.epoch,
        ownerOf: (cell) => this.held.get(cell)?.manifest.owner,
        command: async (cell, command) => this.obey(cell, command),
      },
      authority: {
        report: async (from, batch) => {
          const inbox = this.inboxes.get(batch.cell)
          if (inbox === undefined) throw new CodedError('CELL_UNKNOWN', 'no such cell was submitted here')
          const taken = take(inbox, from, batch)
          this.inboxes.set(batch.cell, taken.inbox)
          for (const { event } of taken.events) this.told.push({ from, event })
          return taken.ack
        },
      },
    })
  }

  room(): Room {
    return { slots: this.slots - this.held.size, memoryBytes: 1 << 30, diskBytes: 1 << 30 }
  }

  consider(_ask: Ask): BidTerms {
    if (this.refusal !== undefined) throw this.refusal
    return this.terms
  }

  async hold(order: HostStart): Promise<void> {
    await this.startGate
    this.held.set(order.cell, order)
  }

  obey(cell: string, command: Command): CommandResult {
    this.commands.push(command)
    if (command.kind === 'stop') this.held.delete(cell)
    return command.kind === 'read-file' ? { kind: 'file' } : { kind: 'done' }
  }
}

export interface TestMesh {
  readonly mesh: MemoryMesh
  readonly clock: ManualClock
  peer(): Promise<{ readonly peer: TestPeer; readonly signer: Signer }>
}

export function testMesh(mesh: MemoryMesh, clock = new ManualClock()): TestMesh {
  return {
    mesh,
    clock,
    async peer() {
      const signer = await newSigner()
      const peer = new TestPeer({ signer, network: withLoopback(mesh.join(signer.self)), clock })
      await peer.placement.start()
      return { peer, signer }
    },
  }
}

let nonce = 0

/** A signed cell of `owner`, and the plan to place it; `owner` then expects its reports. */
export async function submission(
  owner: TestPeer,
  signer: Signer,
  hosts: readonly TestPeer[],
  changes: Partial<CellManifest> = {},
): Promise<{
  readonly cell: string
  readonly signed: SignedManifest
  readonly plan: StartPlan
  readonly attempts: string[]
}> {
  const manifest = manifestBy(signer.self, { nonce: new Uint8Array(16).fill(nonce++), ...changes })
  const { cell, signed } = await signManifest(manifest, signer)
  const attempts: string[] = []
  const plan: StartPlan = {
    cell,
    epoch: 0,
    ask: askOf(cell, manifest, 1),
    signed,
    holders: [signer.self],
    candidates: hosts.map(({ key }, i) => ({ peer: key, fixedMs: 100 + i, moduleFetchMs: 50 })),
    onAttempt: async ({ host, epoch }) => {
      attempts.push(`${host}/${epoch}`)
      owner.inboxes.set(cell, expectFrom(host, epoch, owner.inboxes.get(cell)))
    },
  }
  return { cell, signed, plan, attempts }
}

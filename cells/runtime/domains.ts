// The host processes of an engine, by what they serve: started when needed, ended when idle, replaced when one is stuck.
import type { Clock, Timer } from '../../core/clock.ts'
import { HostFolder } from './host-folder.ts'
import { HostProcess } from './host-process.ts'
import type { HostKind } from './permissions.ts'

export interface Domain {
  readonly host: HostProcess
  readonly folder: HostFolder | undefined
  /** Modules that this process has been given, by `moduleKey`. */
  readonly known: Set<string>
  idle: Timer | undefined
}

export interface DomainsInit {
  readonly clock: Clock
  readonly heapMb: number
  /** The engine's. */
  readonly folder: string | undefined
  /** An idle process ends after so long, milliseconds. */
  readonly idleMs: number
}

export class Domains {
  readonly #init: DomainsInit
  readonly #domains = new Map<string, Domain>()
  /** Processes that take no more cells, until they are gone. */
  readonly #leaving = new Set<HostProcess>()

  constructor(init: DomainsInit) {
    this.#init = init
  }

  /** Process ids of the host processes that run now. */
  pids(): number[] {
    const hosts = [...[...this.#domains.values()].map(({ host }) => host), ...this.#leaving]
    return hosts.flatMap(({ pid }) => (pid === undefined ? [] : [pid]))
  }

  /** Runs `work` with the process of `key`, starting one if need be; it does not end meanwhile. */
  async use<T>(key: string, kind: HostKind, work: (domain: Domain) => Promise<T>): Promise<T> {
    const domain = this.#domain(key, kind)
    domain.idle?.cancel()
    domain.idle = undefined
    try {
      return await work(domain)
    } finally {
      this.whenIdle(key, domain)
    }
  }

  /** Ends the process after a while if nothing runs in it. To be called whenever something in it has ended. */
  whenIdle(key: string, domain: Domain): void {
    if (!domain.host.idle || !domain.host.alive || this.#domains.get(key) !== domain) return
    domain.idle?.cancel()
    domain.idle = this.#init.clock.after(this.#init.idleMs, () => {
      // It may be another's turn by now, or none's.
      if (!domain.host.idle || this.#domains.get(key) !== domain) return
      this.#domains.delete(key)
      void domain.host.end()
    })
  }

  /** From now on `key` is served by another process; who is in this one may stay until it is killed. False: it was already. */
  leave(key: string, domain: Domain): boolean {
    if (this.#domains.get(key) !== domain) return false
    domain.idle?.cancel()
    this.#domains.delete(key)
    this.#leaving.add(domain.host)
    return true
  }

  async stop(): Promise<void> {
    const domains = [...this.#domains.values()]
    this.#domains.clear()
    for (const domain of domains) domain.idle?.cancel()
    for (const host of this.#leaving) host.destroy('the engine stops')
    await Promise.all(domains.map((domain) => domain.host.end()))
  }

  #domain(key: string, kind: HostKind): Domain {
    const found = this.#domains.get(key)
    if (found?.host.alive) return found
    const onExit = (): void => {
      this.#leaving.delete(host)
      domain.idle?.cancel()
      if (this.#domains.get(key) === domain) this.#domains.delete(key)
    }
    const { clock, heapMb } = this.#init
    // Wasmer's runtime has its files in its own memory.
    const root = kind.entry === 'host' ? this.#init.folder : undefined
    const folder = root === undefined ? undefined : new HostFolder(root)
    const host = new HostProcess({ clock, heapMb, kind, folder, onExit })
    const domain: Domain = { host, folder, known: new Set(), idle: undefined }
    this.#domains.set(key, domain)
    return domain
  }
}

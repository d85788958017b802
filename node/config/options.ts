// Every option of a peer, as data: its kind, its default, and what it is for. `config show` and `--help` print this table.
import { hostname } from 'node:os'

export type OptionKind = 'text' | 'list' | 'labels' | 'boolean' | 'integer' | 'ratio'

export interface OptionSpec {
  readonly kind: OptionKind
  readonly help: string
  /** Shown as the flag's value in `--help`. */
  readonly value?: string
  readonly min?: number
  readonly max?: number
  readonly choices?: readonly string[]
}

/** Flag `--cell-memory-mb`, file key `cell-memory-mb`, environment `CLOUDSKIN_CELL_MEMORY_MB`. */
export const OPTIONS = {
  name: { kind: 'text', value: 'NAME', help: 'name of this peer, shown to people' },
  preset: {
    kind: 'text',
    value: 'PRESET',
    choices: ['device', 'edge', 'cloud'],
    help: 'bundle of defaults for a kind of machine',
  },
  zone: { kind: 'text', value: 'ZONE', help: 'part of the mesh this peer stands in: a site, a region' },
  label: { kind: 'labels', value: 'KEY=VALUE', help: 'label that cells can ask for (repeat for more)' },
  listen: { kind: 'list', value: 'MULTIADDR', help: 'address to listen on (repeat for more)' },
  announce: { kind: 'list', value: 'MULTIADDR', help: 'address to tell others instead of the listening ones' },
  join: { kind: 'list', value: 'TICKET|MULTIADDR', help: 'ticket of a mesh, or address of a peer that knows this one' },
  open: { kind: 'boolean', help: 'run without admission: anyone who can reach this peer is a member' },
  mdns: { kind: 'boolean', help: 'find peers on the local network by multicast DNS' },
  slots: { kind: 'integer', value: 'N', min: 0, max: 1024, help: 'cells that may run here at once; 0 hosts none' },
  'fuel-share': {
    kind: 'ratio',
    value: 'SHARE',
    help: "share of a core's fuel per second that each cell gets, above 0 up to 1",
  },
  'cell-memory-mb': { kind: 'integer', value: 'MIB', min: 1, max: 4096, help: 'most linear memory one cell may have' },
  'cell-wall-s': {
    kind: 'integer',
    value: 'SECONDS',
    min: 1,
    max: 2_592_000,
    help: 'longest a cell may run, moves included',
  },
  'blob-quota-mb': {
    kind: 'integer',
    value: 'MIB',
    min: 1,
    max: 1 << 30,
    help: 'most space that modules, inputs and results may take in the home',
  },
  'round-interval-s': {
    kind: 'integer',
    value: 'SECONDS',
    min: 0,
    max: 86_400,
    help: 'pause between federated rounds; 0 runs none by itself',
  },
  calibrate: { kind: 'boolean', help: 'time a few short kernels at start, so that others can predict run times here' },
  'log-level': {
    kind: 'text',
    value: 'LEVEL',
    choices: ['silent', 'error', 'info', 'trace'],
    help: 'what goes to standard error',
  },
} as const satisfies Record<string, OptionSpec>

export type OptionName = keyof typeof OPTIONS

type ValueOf<K extends OptionKind> = K extends 'text'
  ? string
  : K extends 'list'
    ? readonly string[]
    : K extends 'labels'
      ? Readonly<Record<string, string>>
      : K extends 'boolean'
        ? boolean
        : number

export type Options = { readonly [N in OptionName]: ValueOf<(typeof OPTIONS)[N]['kind']> }

const BASE: Options = {
  name: hostname(),
  preset: 'edge',
  zone: 'default',
  label: {},
  listen: ['/ip4/0.0.0.0/tcp/4170', '/ip4/0.0.0.0/tcp/4171/ws'],
  announce: [],
  join: [],
  open: false,
  mdns: true,
  slots: 2,
  'fuel-share': 1,
  'cell-memory-mb': 512,
  'cell-wall-s': 3600,
  'blob-quota-mb': 4096,
  'round-interval-s': 60,
  calibrate: true,
  'log-level': 'info',
}

/** What a preset changes, and nothing else. */
export const PRESETS: Readonly<Record<string, Partial<Options>>> = {
  device: { slots: 1, 'cell-memory-mb': 128, 'blob-quota-mb': 512 },
  edge: {},
  cloud: { slots: 8, 'cell-memory-mb': 2048, 'blob-quota-mb': 65_536, mdns: false },
}

export function defaults(): Options {
  return BASE
}

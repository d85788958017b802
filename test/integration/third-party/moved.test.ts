// Programs that nobody here wrote, each hop through the bytes of a snapshot into a new process: they must not notice.
import { describe, expect, it } from 'vitest'
import { fromUtf8 } from '../../../core/bytes.ts'
import { type Program, runOnNode } from '../wasi/programs.ts'
import { type Hopped, runInHops, seededStops } from './hops.ts'
import { installed, NEEDED } from './packages.ts'
import { esbuild, flite, icepack, nextpnr, pandoc, yosys } from './programs.ts'

/** `npm run test:long` moves them much more often. */
const LONG = process.env.CLOUDSKIN_LONG !== undefined
const SEEDS = LONG ? [1, 2, 3] : [1]
const TIMEOUT_MS = LONG ? 7_200_000 : 600_000

interface Job {
  readonly program: () => Program | Promise<Program>
  readonly makes: string
  /** What is made is what it should be, apart from being always the same. */
  readonly good: (made: Uint8Array) => void
  /** So small that a program which is soon over can be stopped on its way. @default 1 */
  readonly fuelShare?: number
  /** In CI, and in the long form. */
  readonly hops: readonly [number, number]
}

const runs = new Map<string, Promise<Hopped>>()
/** The job done once, by a program that stays where it is. */
function unmoved(name: string): Promise<Hopped> {
  const job = JOBS[name]
  if (job === undefined) throw new Error(`no job ${name}`)
  const run = runs.get(name) ?? Promise.resolve(job.program()).then((program) => runInHops(program, { stops: [] }))
  runs.set(name, run)
  return run
}

async function madeBy(name: string): Promise<Uint8Array> {
  return (await unmoved(name)).made.get(JOBS[name]?.makes ?? '') ?? new Uint8Array(0)
}

const JOBS: Readonly<Record<string, Job>> = {
  flite: {
    program: () => flite(LONG ? 8 : 3),
    makes: '/out/a.wav',
    good: (made) => {
      expect(fromUtf8(made.subarray(0, 4))).toBe('RIFF')
      expect(made.length).toBeGreaterThan(200_000)
    },
    hops: [2, 60],
  },
  yosys: {
    program: yosys,
    makes: '/out/design.json',
    good: (made) => expect(Object.keys(JSON.parse(fromUtf8(made)).modules)).toContain('blinky'),
    hops: [2, 12],
  },
  nextpnr: {
    program: async () => nextpnr(await madeBy('yosys')),
    makes: '/out/design.asc',
    good: (made) => expect(fromUtf8(made)).toMatch(/^\.device 384$/m),
    hops: [2, 60],
  },
  icepack: {
    program: async () => icepack(await madeBy('nextpnr')),
    makes: '/out/design.bin',
    // The preamble that the chip waits for.
    good: (made) => expect(Buffer.from(made).includes(Buffer.of(0x7e, 0xaa, 0x99, 0x7e))).toBe(true),
    fuelShare: 0.05,
    hops: [2, 60],
  },
  esbuild: {
    program: () => esbuild(LONG ? 1_000 : 80),
    makes: '/out/bundle.js',
    good: (made) => expect(fromUtf8(made)).toContain('console.log('),
    fuelShare: 0.3,
    hops: [2, 40],
  },
  pandoc: {
    program: () => pandoc(LONG ? 8 : 1),
    makes: '/out/page.html',
    good: (made) => {
      const page = fromUtf8(made)
      const parts = [
        '<table',
        '<math',
        '<code class="sourceCode javascript">',
        '"https://pandoc.org/MANUAL.html#tables"',
      ]
      expect([...parts, '</html>'].filter((part) => !page.includes(part))).toEqual([])
    },
    hops: [2, 12],
  },
}

describe.skipIf(!installed)(`moved from process to process (${NEEDED})`, () => {
  it.each(Object.entries(JOBS))(
    '%s does the same job',
    async (name, { program, makes, good, fuelShare = 1, hops }) => {
      const job = await program()
      const still = await unmoved(name)
      expect(still.outcome).toEqual(runOnNode(job))
      expect(still.outcome.exitCode).toBe(0)
      good(still.made.get(makes) ?? new Uint8Array(0))
      for (const seed of SEEDS) {
        const stops = seededStops(seed, still.polls, hops[LONG ? 1 : 0])
        const moved = await runInHops(job, { stops, engineInit: { fuelShare } })
        expect(moved.outcome, `seed ${seed}`).toEqual(still.outcome)
        expect(moved.hops).toBe(stops.length)
        expect(new Set(moved.hosts).size).toBe(stops.length + 1)
      }
    },
    TIMEOUT_MS,
  )
})

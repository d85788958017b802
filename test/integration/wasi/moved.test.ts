// Every program here, moved again and again: between any two polls, and in every call that waits, to a new instance and
// to a WASI made from the state as bytes. Output, exit code and files are those of a run in one piece.
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { Suspendable } from '../../../cells/instrument/driver.ts'
import { instrument } from '../../../cells/instrument/instrument.ts'
import { contentDelta, ReceivedContents, Wasi, type WasiHost, wasiState } from '../../../cells/wasi/index.ts'
import { concat, fromUtf8, sha256Hex, utf8 } from '../../../core/bytes.ts'
import { systemClock } from '../../../core/clock.ts'
import { type Random, seededRandom } from '../../../core/random.ts'
import { fromCbor, toCbor } from '../../../core/shape.ts'
import { moved } from '../../support/suspension.ts'
import { exitCodeOf, type Outcome, type Program, runOnOurs, sample } from './programs.ts'

const DISK = 2 ** 28
const MAX_HOPS = 60

interface Hopped extends Outcome {
  readonly hops: number
}

/** A program with its WASI, which a hop replaces both. */
class Traveller {
  readonly #program: Program
  readonly #module: WebAssembly.Module
  readonly #random: Random
  readonly #written = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] }
  readonly #count = { stdout: 0, stderr: 0 }
  #instance: Suspendable
  #wasi: Wasi
  #hops = 0

  constructor(program: Program, seed: number) {
    this.#program = program
    this.#module = new WebAssembly.Module(instrument(program.module, { memoryMaxPages: 4096 }).bytes)
    this.#random = seededRandom(seed)
    const { args, env = {}, files = [], stdin = new Uint8Array(0) } = program
    this.#wasi = new Wasi({ args, env, files, stdin, ...this.#surroundings() })
    this.#instance = this.#fresh()
    this.#wasi.bind(this.#instance.memory)
  }

  #surroundings() {
    const output: WasiHost['output'] = (stream, offset, bytes) => {
      expect(offset).toBe(this.#count[stream])
      this.#count[stream] += bytes.length
      this.#written[stream].push(bytes)
    }
    /** Every other wait is a stop request at once, the others a stop request after a part of the time. */
    const wait = (ms: number): boolean => {
      if (this.#hops >= MAX_HOPS || this.#random.int(2) === 0) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.min(ms, 1))
        if (this.#hops >= MAX_HOPS) return false
      }
      this.#instance.interrupt()
      return true
    }
    const limits = { outputBytes: 2 ** 20, diskBytes: DISK }
    return { limits, clock: systemClock, random: seededRandom(1), host: { output, wait } }
  }

  #fresh(): Suspendable {
    return new Suspendable({
      module: this.#module,
      imports: { wasi_snapshot_preview1: this.#wasi.imports() },
      onPoll: () => (this.#hops < MAX_HOPS ? 'unwind' : 'continue'),
      // Few polls at first, where programs do most of their calls, more and more later.
      budget: Math.floor(this.#random.int(20) * 2 ** (this.#hops / 8)),
    })
  }

  /** The state travels as bytes; contents of files go ahead of it on every other hop. */
  #hop(): void {
    this.#hops++
    const contents = this.#hops % 2 === 0 ? new ReceivedContents(DISK) : undefined
    const ledger = contents === undefined ? undefined : this.#wasi.trackContents()
    while (contents !== undefined && ledger !== undefined && ledger.unsentBytes > 0) {
      contents.apply(fromCbor(toCbor(ledger.next(100_000)), contentDelta, 'SNAPSHOT_MALFORMED'))
    }
    const state = fromCbor(toCbor(this.#wasi.state(ledger)), wasiState, 'SNAPSHOT_MALFORMED')
    this.#wasi = Wasi.restore(state, this.#surroundings(), contents)
    this.#instance = moved(this.#instance, this.#fresh())
    this.#wasi.bind(this.#instance.memory)
  }

  run(): Hopped {
    const exitCode = exitCodeOf(() => {
      let outcome = this.#instance.run()
      while (outcome === 'suspended') {
        this.#hop()
        outcome = this.#instance.rewind()
      }
    })
    const files: Record<string, string> = {}
    for (const { path } of this.#program.files ?? []) {
      const bytes = this.#wasi.contentOf(path)?.bytes()
      if (bytes !== undefined) files[path] = sha256Hex(bytes)
    }
    for (const { path, content } of this.#wasi.changedFiles()) files[path] = sha256Hex(content.bytes())
    const text = (stream: 'stdout' | 'stderr'): string => fromUtf8(concat(this.#written[stream]))
    return { exitCode, stdout: text('stdout'), stderr: text('stderr'), files, hops: this.#hops }
  }
}

const folder = new URL('./questions/wasm/', import.meta.url)
const programs: [string, Program][] = readdirSync(folder).map((name) => [
  name.replace('.wasm', ''),
  {
    module: new Uint8Array(readFileSync(new URL(name, folder))),
    args: [name, 'two words', 'ünïcode', ''],
    env: { SET: 'a=b', EMPTY: '' },
    stdin: utf8('first\nsecond\nno end'),
    files: [{ path: '/in/long', bytes: Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) >>> 3) }],
  },
])

describe('moved at any moment', () => {
  it.each([
    ...programs,
    ['sleeper', { module: sample('sleeper'), args: ['sleeper', '20', '3'] }] as [string, Program],
    ['calls', { module: sample('calls'), args: ['calls'] }] as [string, Program],
  ])('%s gives what it gives in one piece', (_name, program) => {
    const whole = runOnOurs(program)
    for (const seed of [1, 2]) {
      const { hops, ...outcome } = new Traveller(program, seed).run()
      expect(outcome).toEqual(whole)
      expect(hops).toBeGreaterThan(10)
    }
  })
})

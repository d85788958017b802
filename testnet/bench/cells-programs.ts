// The programs of the `cells` bench with their arguments and inputs, each of a size that runs for about half a second.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CellFile } from '../../cells/types.ts'
import { utf8 } from '../../core/bytes.ts'
import { type Random, seededRandom } from '../../core/random.ts'
import { samplePath } from '../processes/cells.ts'

export interface BenchProgram {
  readonly name: string
  readonly module: Uint8Array
  /** With the program's name. */
  readonly args: readonly string[]
  readonly files: readonly CellFile[]
}

/** The samples; their inputs depend on `seed`, and not how much work they are. */
export function samplePrograms(seed: number): BenchProgram[] {
  const random = seededRandom(seed)
  const text = file('/in/text.txt', operations(20_000, random))
  const program = (name: string, args: string, ...files: CellFile[]): BenchProgram => {
    return { name, module: bytesOf(samplePath(name)), args: [name, ...args.split(' ')], files }
  }
  return [
    program('checksum', '-n 80 /in/text.txt', text),
    program('edges', '/in/picture.ppm /out/edges.pgm 40', file('/in/picture.ppm', picture(960, 640, random))),
    program('spectrum', '/in/sound.wav /out/spectrum.csv 1024 4', file('/in/sound.wav', recording(30, random))),
    program('kvstore', '/in/text.txt /out/results.txt 50', text),
    program('matmul', '320 16'),
    program('primes', '4000000 40'),
    program('queens', '15'),
    program('wordcount', '/in/text.txt 10 10', text),
  ]
}

/** Loop nests in the manner of PolyBench: size and rounds of each. */
const KERNELS = {
  gemm: '256 10',
  '2mm': '200 8',
  atax: '1000 80',
  bicg: '1000 60',
  'jacobi-2d': '500 60',
  'seidel-2d': '500 30',
  lu: '300 12',
  cholesky: '400 10',
  floyd: '256 8',
  durbin: '2000 50',
  correlation: '256 10',
  trisolv: '1500 150',
} as const

export function kernelPrograms(): BenchProgram[] {
  const module = bytesOf(samplePath('kernels'))
  return Object.entries(KERNELS).map(([name, args]) => {
    return { name, module, args: ['kernels', name, ...args.split(' ')], files: [] }
  })
}

/** Programs of a folder that is not part of this tree, with their own default arguments where those are enough work. */
const REFERENCES = { fib: [], nbody: [], mandel: [], matmul: [], sha256: [], queens: ['13'], kv: [] } as const

export function referencePrograms(folder: string): BenchProgram[] {
  const lines = Array.from({ length: 5000 }, (_, n) => `some input line number ${n} lorem ipsum\n`)
  const files = [file('/data/in.txt', utf8(lines.join('')))]
  return Object.entries(REFERENCES).map(([name, args]) => {
    return { name, module: bytesOf(join(folder, `${name}.wasm`)), args: [name, ...args], files }
  })
}

function bytesOf(path: string): Uint8Array {
  return new Uint8Array(readFileSync(path))
}

function file(path: string, bytes: Uint8Array): CellFile {
  return { path, bytes }
}

/** A colour picture (PPM): a gradient, and bars at random places. */
function picture(width: number, height: number, random: Random): Uint8Array {
  const header = utf8(`P6\n${width} ${height}\n255\n`)
  const out = new Uint8Array(header.length + width * height * 3)
  out.set(header)
  const bars = Array.from({ length: 12 }, () => random.int(width))
  for (let x = 0; x < width; x++) {
    const bar = bars.some((at) => x >= at && x < at + width / 40)
    for (let y = 0; y < height; y++) {
      const at = header.length + (y * width + x) * 3
      out[at] = bar ? 220 : 40
      out[at + 1] = Math.floor((255 * y) / height)
      out[at + 2] = Math.floor((255 * x) / width)
    }
  }
  return out
}

/** A mono WAV at 16 kHz: two tones and some noise. */
function recording(seconds: number, random: Random): Uint8Array {
  const samples = 16_000 * seconds
  const out = Buffer.alloc(44 + samples * 2)
  out.write('RIFF', 0)
  out.writeUInt32LE(36 + samples * 2, 4)
  out.write('WAVEfmt ', 8)
  out.writeUInt32LE(16, 16)
  out.writeUInt16LE(1, 20)
  out.writeUInt16LE(1, 22)
  out.writeUInt32LE(16_000, 24)
  out.writeUInt32LE(32_000, 28)
  out.writeUInt16LE(2, 32)
  out.writeUInt16LE(16, 34)
  out.write('data', 36)
  out.writeUInt32LE(samples * 2, 40)
  for (let i = 0; i < samples; i++) {
    const tones =
      9000 * Math.sin((2 * Math.PI * 1000 * i) / 16_000) + 4000 * Math.sin((2 * Math.PI * 2600 * i) / 16_000)
    out.writeInt16LE(Math.round(tones + 500 * random.next()), 44 + i * 2)
  }
  return new Uint8Array(out)
}

/** A log for the key-value store, with some lines of prose, which is also a text. */
function operations(count: number, random: Random): Uint8Array {
  const kinds = ['set', 'set', 'get', 'del', 'add', 'text'] as const
  const lines = Array.from({ length: count }, () => {
    const key = `key${random.int(Math.floor(count / 4))}`
    const kind = kinds[random.int(kinds.length)]
    if (kind === 'set') return `set ${key} value of ${random.int(1000)}`
    if (kind === 'add') return `add total ${random.int(100)}`
    if (kind === 'text') return 'The quick brown fox jumps over the lazy dog; naïve façade.'
    return `${kind} ${key}`
  })
  return utf8(`${lines.join('\n')}\n`)
}

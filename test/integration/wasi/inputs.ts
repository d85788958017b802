// Inputs for the samples, made here so that they can be of any size: a picture, a recording, a log of operations.
import { utf8 } from '../../../core/bytes.ts'
import { seededRandom } from '../../../core/random.ts'

/** A colour picture (PPM) with a disc, a bar and a gradient. */
export function picture(width: number, height: number): Uint8Array {
  const header = utf8(`P6\n# made for a test\n${width} ${height}\n255\n`)
  const out = new Uint8Array(header.length + width * height * 3)
  out.set(header)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const disc = (x - width / 3) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2
      const bar = x > (width * 2) / 3 && x < (width * 3) / 4
      const at = header.length + (y * width + x) * 3
      out.set([disc ? 220 : 40, bar ? 200 : 60, Math.floor((255 * x) / width)], at)
    }
  }
  return out
}

/** A stereo WAV at 16 kHz: 1000 Hz, with a quieter 3000 Hz tone in its second half. */
export function recording(seconds: number): Uint8Array {
  const frames = Math.floor(16_000 * seconds)
  const out = Buffer.alloc(44 + frames * 4)
  out.write('RIFF', 0)
  out.writeUInt32LE(36 + frames * 4, 4)
  out.write('WAVEfmt ', 8)
  out.writeUInt32LE(16, 16)
  out.writeUInt16LE(1, 20)
  out.writeUInt16LE(2, 22)
  out.writeUInt32LE(16_000, 24)
  out.writeUInt32LE(64_000, 28)
  out.writeUInt16LE(4, 32)
  out.writeUInt16LE(16, 34)
  out.write('data', 36)
  out.writeUInt32LE(frames * 4, 40)
  for (let i = 0; i < frames; i++) {
    const low = 12_000 * Math.sin((2 * Math.PI * 1000 * i) / 16_000)
    const high = i > frames / 2 ? 4000 * Math.sin((2 * Math.PI * 3000 * i) / 16_000) : 0
    out.writeInt16LE(Math.round(low + high), 44 + i * 4)
    out.writeInt16LE(Math.round(low - high), 46 + i * 4)
  }
  return new Uint8Array(out)
}

/** A log for the key-value store: operations on few keys, and lines of text. */
export function operations(count: number): Uint8Array {
  const random = seededRandom(7)
  const lines = Array.from({ length: count }, () => {
    const key = `key${random.int(Math.max(1, Math.floor(count / 4)))}`
    switch (random.int(6)) {
      case 0:
      case 1:
        return `set ${key} value of ${random.int(1000)}`
      case 2:
        return `get ${key}`
      case 3:
        return `del ${key}`
      case 4:
        return `add total ${random.int(100)}`
      default:
        return 'The quick brown fox jumps over the lazy dog; naïve façade.'
    }
  })
  return utf8(`${lines.join('\n')}\n`)
}

// Damages a WebAssembly module on purpose, some ways so that it stays well formed on the outside and the damage lies deep.
import { OP } from '../../cells/wasm/opcodes.ts'
import { concat } from '../../core/bytes.ts'
import type { Random } from '../../core/random.ts'

const CODE = 10

interface Section {
  readonly id: number
  readonly content: Uint8Array
}

/** Numbers that counts, sizes and indices are replaced by: edges of what their encodings hold. */
const NUMBERS = [
  0,
  1,
  2,
  63,
  64,
  127,
  128,
  255,
  16_384,
  65_535,
  65_536,
  1_000_000,
  50_000_000,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
]

/** `bytes`, damaged mostly in one way; the same for the same random numbers. `other` gives sections to splice in. */
export function mutatedModule(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let out: Uint8Array = bytes.slice()
  for (let left = 1 + Math.max(0, random.int(8) - 5); left > 0; left--) out = mutateOnce(out, other, random)
  return out
}

function mutateOnce(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const sections = sectionsOf(bytes)
  const pick = (): number => random.int(sections.length)
  const choice = random.int(16)
  if (choice === 0 || sections.length === 0) return bytes.subarray(0, random.int(bytes.length + 1))
  if (choice === 1) return withByte(bytes, random)
  if (choice === 2) return assemble(sections.toSpliced(pick(), 1))
  if (choice === 3) return assemble(sections.toSpliced(pick(), 0, ...sections.slice(pick()).slice(0, 1)))
  if (choice === 4) {
    const from = sectionsOf(other)
    const taken = from[random.int(Math.max(1, from.length))]
    const at = sections.findIndex(({ id }) => id === taken?.id)
    return assemble(taken === undefined ? sections : sections.toSpliced(Math.max(0, at), at < 0 ? 0 : 1, taken))
  }
  if (choice === 5) return assemble(sections.toSorted(() => random.int(3) - 1))
  // Most of the code that looks at a module looks at its functions.
  const code = sections.findIndex(({ id }) => id === CODE)
  const at = choice > 9 && code >= 0 ? code : pick()
  const section = sections[at]
  if (section === undefined) return bytes
  return assemble(sections.with(at, { id: section.id, content: mutatedContent(section, choice, random) }))
}

function mutatedContent({ id, content }: Section, choice: number, random: Random): Uint8Array {
  const at = random.int(content.length + 1)
  // Its count, which stands first, or a number somewhere in it.
  if (choice === 6) return spliced(content, 0, lengthOfLeb(content, 0), leb(edge(random)))
  if (choice === 7) return spliced(content, at, lengthOfLeb(content, at), leb(edge(random)))
  if (choice >= 8 && id === CODE) return mutatedBody(content, random)
  const inserted = Uint8Array.from({ length: random.int(4) }, () => random.int(256))
  return spliced(content, at, random.int(4), inserted)
}

/** One function body changed, its size put right. */
function mutatedBody(content: Uint8Array, random: Random): Uint8Array {
  const bodies: { from: number; start: number; end: number }[] = []
  let at = lengthOfLeb(content, 0)
  while (at < content.length) {
    const size = readLeb(content, at)
    const start = at + lengthOfLeb(content, at)
    bodies.push({ from: at, start, end: Math.min(content.length, start + size) })
    at = start + Math.max(1, size)
  }
  const body = bodies[random.int(Math.max(1, bodies.length))]
  if (body === undefined) return content
  const code = content.subarray(body.start, body.end)
  const choice = random.int(8)
  const changed =
    choice < 4
      ? withByte(code, random)
      : choice < 7
        ? spliced(code, random.int(code.length + 1), 1, duplicated(code, random))
        : spliced(code, startOfCode(code), 0, typedBlock(random))
  return concat([content.subarray(0, body.from), leb(changed.length), changed, content.subarray(body.end)])
}

/** Behind the local declarations. */
function startOfCode(code: Uint8Array): number {
  let at = lengthOfLeb(code, 0)
  for (let left = Math.min(readLeb(code, 0), code.length); left > 0; left--) at += lengthOfLeb(code, at) + 1
  return Math.min(at, code.length)
}

/** A valid block of a type of two bytes, the second of which, taken for an instruction, is valid too. */
function typedBlock(random: Random): Uint8Array {
  const type = random.int(2)
  return Uint8Array.of(OP.block, 0x63, type, OP.refNull, type, OP.end, OP.drop)
}

function duplicated(code: Uint8Array, random: Random): Uint8Array {
  const from = random.int(code.length + 1)
  return code.subarray(from, from + random.int(12))
}

function withByte(bytes: Uint8Array, random: Random): Uint8Array {
  const out = bytes.slice()
  if (out.length > 0) out[random.int(out.length)] = random.int(256)
  return out
}

function spliced(bytes: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array {
  return concat([bytes.subarray(0, at), insert, bytes.subarray(Math.min(bytes.length, at + remove))])
}

function edge(random: Random): number {
  return NUMBERS[random.int(NUMBERS.length)] ?? 0
}

/** Up to the first that does not fit. */
function sectionsOf(bytes: Uint8Array): Section[] {
  const sections: Section[] = []
  let at = 8
  while (at < bytes.length) {
    const id = bytes[at] ?? 0
    const size = readLeb(bytes, at + 1)
    const start = at + 1 + lengthOfLeb(bytes, at + 1)
    if (start + size > bytes.length) break
    sections.push({ id, content: bytes.subarray(start, start + size) })
    at = start + size
  }
  return sections
}

function assemble(sections: readonly Section[]): Uint8Array {
  const header = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)
  return concat([header, ...sections.flatMap(({ id, content }) => [Uint8Array.of(id), leb(content.length), content])])
}

function lengthOfLeb(bytes: Uint8Array, at: number): number {
  let length = 1
  while (length < 5 && at + length <= bytes.length && ((bytes[at + length - 1] ?? 0) & 128) !== 0) length++
  return Math.min(length, Math.max(0, bytes.length - at))
}

function readLeb(bytes: Uint8Array, at: number): number {
  let value = 0
  for (let i = 0; i < lengthOfLeb(bytes, at); i++) value += ((bytes[at + i] ?? 0) & 127) * 128 ** i
  return value
}

function leb(value: number): Uint8Array {
  const out: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Uint8Array.from([...out, rest])
    out.push((rest % 128) | 128)
  }
}

// The state of a cell's WASI as plain data, and its shape.
import { bytes, type Infer, integer, list, object, optional, text } from '../../core/shape.ts'

/** Longest argument or environment entry, and most of each: Linux' MAX_ARG_STRLEN, and room for its ARG_MAX. */
const MAX_TEXT = 131_072
const MAX_TEXTS = 4096
const MAX_BYTES = Number.MAX_SAFE_INTEGER

/** Shape of a {@link WasiState}: maps, lists, texts, integers and bytes, so it can be part of any CBOR message. */
export const wasiState = object({
  args: list(text(MAX_TEXT), MAX_TEXTS),
  env: list(text(2 * MAX_TEXT), MAX_TEXTS),
  stdin: bytes(MAX_BYTES),
  stdoutBytes: integer(),
  stderrBytes: integer(),
  monotonicUs: integer(),
  blockedSinceUs: optional(integer()),
})

/** Everything that a program can observe of its WASI. File bytes are views: valid until the program goes on. */
export type WasiState = Infer<typeof wasiState>

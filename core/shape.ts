// Total decoding of open-schema bytes: CBOR (RFC 8949) in, a checked and typed value out, or one coded error.
// Shapes say what a value may be; everything is bounded, and unknown fields are dropped so that N-1 reads N.
import { decode, encode } from 'cborg'
import { CodedError } from './errors.ts'

/** Reads `value`, or throws {@link Mismatch} with the path at which it is not what the shape says. */
export type Shape<T> = (value: unknown, path: string) => T
export type Infer<S> = S extends Shape<infer T> ? T : never

class Mismatch extends Error {}

const fail = (path: string, wanted: string): never => {
  throw new Mismatch(`${path === '' ? 'value' : path} is not ${wanted}`)
}

export const text =
  (maxChars: number): Shape<string> =>
  (value, path) =>
    typeof value === 'string' && value.length <= maxChars
      ? value
      : fail(path, `a text of at most ${maxChars} characters`)

export const bytes =
  (maxBytes: number, minBytes = 0): Shape<Uint8Array> =>
  (value, path) =>
    value instanceof Uint8Array && value.length <= maxBytes && value.length >= minBytes
      ? value
      : fail(path, `${minBytes} to ${maxBytes} bytes`)

/** A safe integer in [min, max]. */
export const integer =
  (min = 0, max = Number.MAX_SAFE_INTEGER): Shape<number> =>
  (value, path) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
      ? value
      : fail(path, `an integer from ${min} to ${max}`)

/** A finite number in [min, max]. */
export const number =
  (min = -Number.MAX_VALUE, max = Number.MAX_VALUE): Shape<number> =>
  (value, path) =>
    typeof value === 'number' && Number.isFinite(value) && value >= min && value <= max
      ? value
      : fail(path, `a finite number from ${min} to ${max}`)

export const boolean: Shape<boolean> = (value, path) => (typeof value === 'boolean' ? value : fail(path, 'a boolean'))

export const oneOf =
  <const T extends string | number>(...allowed: readonly T[]): Shape<T> =>
  (value, path) =>
    allowed.includes(value as T) ? (value as T) : fail(path, `one of ${allowed.join(', ')}`)

export const list =
  <T>(item: Shape<T>, maxItems: number): Shape<T[]> =>
  (value, path) => {
    if (!Array.isArray(value) || value.length > maxItems) return fail(path, `a list of at most ${maxItems}`)
    return value.map((entry, index) => item(entry, `${path}[${index}]`))
  }

/** A map from texts of at most `maxKey` characters. */
export const record =
  <T>(item: Shape<T>, maxEntries: number, maxKey = 256): Shape<Record<string, T>> =>
  (value, path) => {
    if (!isPlain(value)) return fail(path, 'a map')
    const entries = Object.entries(value)
    if (entries.length > maxEntries) return fail(path, `a map of at most ${maxEntries} entries`)
    const out: Record<string, T> = Object.create(null)
    for (const [key, entry] of entries) {
      if (key.length > maxKey) return fail(path, `a map with keys of at most ${maxKey} characters`)
      out[key] = item(entry, `${path}.${key}`)
    }
    return out
  }

/** Present or absent; never `undefined` as a value. */
export interface OptionalShape<T> {
  readonly optional: Shape<T>
}
export const optional = <T>(shape: Shape<T>): OptionalShape<T> => ({ optional: shape })

type Fields = Readonly<Record<string, Shape<unknown> | OptionalShape<unknown>>>
type RequiredKeys<F extends Fields> = { [K in keyof F]: F[K] extends OptionalShape<unknown> ? never : K }[keyof F]
type OptionalKeys<F extends Fields> = Exclude<keyof F, RequiredKeys<F>>
type Flat<T> = { [K in keyof T]: T[K] }
export type ObjectOf<F extends Fields> = Flat<
  { readonly [K in RequiredKeys<F>]: F[K] extends Shape<infer T> ? T : never } & {
    readonly [K in OptionalKeys<F>]?: F[K] extends OptionalShape<infer T> ? T : never
  }
>

export const object =
  <F extends Fields>(fields: F): Shape<ObjectOf<F>> =>
  (value, path) => {
    if (!isPlain(value)) return fail(path, 'a map')
    const out: Record<string, unknown> = {}
    for (const [key, shape] of Object.entries(fields)) {
      const present = Object.hasOwn(value, key) ? value[key] : undefined
      const at = path === '' ? key : `${path}.${key}`
      if (typeof shape === 'function') out[key] = shape(present, at)
      else if (present !== undefined) out[key] = shape.optional(present, at)
    }
    return out as ObjectOf<F>
  }

/** The shape whose name stands in the value's `kind`. */
export const union =
  <const V extends Readonly<Record<string, Shape<unknown>>>>(
    variants: V,
  ): Shape<{ [K in keyof V & string]: Flat<{ readonly kind: K } & Infer<V[K]>> }[keyof V & string]> =>
  (value, path) => {
    const kind = isPlain(value) ? value.kind : undefined
    const variant = typeof kind === 'string' && Object.hasOwn(variants, kind) ? variants[kind] : undefined
    if (variant === undefined) return fail(path, `one of the kinds ${Object.keys(variants).join(', ')}`)
    return { kind, ...(variant(value, path) as object) } as never
  }

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

/** Deterministic CBOR of a value made of maps, lists, texts, bytes, numbers and booleans; absent fields are left out. */
export function toCbor(value: unknown): Uint8Array {
  return encode(value, { ignoreUndefinedProperties: true })
}

/** Decodes and checks in one step; throws `CodedError(code)` and nothing else. */
export function fromCbor<T, C extends string>(data: Uint8Array, shape: Shape<T>, code: C): T {
  try {
    return shape(
      decode(data, { allowUndefined: false, allowIndefinite: false, strict: true, rejectDuplicateMapKeys: true }),
      '',
    )
  } catch (error) {
    throw new CodedError(code, `malformed message: ${error instanceof Error ? error.message : 'not CBOR'}`, {
      facts: { bytes: data.length },
      cause: error,
    })
  }
}

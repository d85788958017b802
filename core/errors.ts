// The one error class of the code base. It knows no codes: each folder owns its own union in `errors.ts`.

/** Flat, printable facts about a failure: what happened, to what. Never nested, never secret. */
export type Facts = Readonly<Record<string, string | number | boolean | undefined>>

export interface CodedErrorInit {
  readonly facts?: Facts
  readonly cause?: unknown
}

/** A failure that callers may branch on by `code`; `message` is for people and says what to do next. */
export class CodedError<Code extends string = string> extends Error {
  readonly code: Code
  readonly facts: Facts

  constructor(code: Code, message: string, init: CodedErrorInit = {}) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause })
    this.name = 'CodedError'
    this.code = code
    this.facts = init.facts ?? {}
  }
}

/** True when `error` is a {@link CodedError}, and, if given, carries one of `codes`. */
export function isCoded<C extends string>(error: unknown, ...codes: C[]): error is CodedError<C> {
  return error instanceof CodedError && (codes.length === 0 || codes.includes(error.code as C))
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** True for the reason of an aborted signal: these pass through unwrapped. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError')
}

/** One documented code: `docs/ERRORS.md` is generated from these tables. */
export type CodeTable<Code extends string> = Readonly<Record<Code, string>>

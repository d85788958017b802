// What V8 takes of a function, and what a module may become at most.

/** Locals, parameters included (`kV8MaxWasmFunctionLocals`). */
export const MAX_LOCALS = 50_000
/** Bytes of a body, the declarations of its locals included (`kV8MaxWasmFunctionSize`). */
export const MAX_BODY_BYTES = 7_654_321
/** Bodies that come out of a module, bytes: real ones grow to three times their size, a hostile one to a thousand. */
export const MAX_CODE_BYTES = 256 << 20

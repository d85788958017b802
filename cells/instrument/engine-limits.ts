// What V8 takes of a function, and no more.

/** Locals, parameters included (`kV8MaxWasmFunctionLocals`). */
export const MAX_LOCALS = 50_000
/** Bytes of a body, the declarations of its locals included (`kV8MaxWasmFunctionSize`). */
export const MAX_BODY_BYTES = 7_654_321

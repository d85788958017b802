// Codes of the cell's WASI, and the two ways in which a call ends a program instead of returning an errno.
import { CodedError, type CodeTable } from '../../core/errors.ts'

export type WasiErrorCode = 'CELL_FILE_PATH_INVALID'

export const WASI_ERRORS: CodeTable<WasiErrorCode> = {
  CELL_FILE_PATH_INVALID: 'An input file of the cell has a path that is not absolute and plain, or that is taken.',
}

/** Thrown by `proc_exit` through the program: not a failure. */
export class ExitStatus extends Error {
  readonly exitCode: number

  constructor(exitCode: number) {
    super(`the program exited with code ${exitCode}`)
    this.name = 'ExitStatus'
    this.exitCode = exitCode
  }
}

/** Thrown by a write to stdout or stderr beyond the limit; what fits has been delivered. */
export class LimitExceeded extends CodedError<'CELL_OUTPUT_LIMIT'> {
  constructor(limitBytes: number) {
    super(
      'CELL_OUTPUT_LIMIT',
      `the program wrote more than ${limitBytes} bytes to stdout and stderr: write less, write to a file, or raise the limit`,
      { facts: { limitBytes } },
    )
    this.name = 'LimitExceeded'
  }
}

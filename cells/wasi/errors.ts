// The ways in which a WASI call ends a program instead of returning an errno.
import { CodedError } from '../../core/errors.ts'

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

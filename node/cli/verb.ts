// What a verb of the command line is, and the exit codes they all share.
import type { ControlClient } from '../control/client.ts'
import type { Output } from './output.ts'

/** Documented in `cloudskin help exit-codes`; `run` alone exits with the program's own code. */
export const EXIT = {
  ok: 0,
  /** The operation failed; standard error says how, with a code. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** No peer runs on this home. */
  noPeer: 3,
  /** No such cell, peer, invite or file. */
  notFound: 4,
  /** No peer would take the cell. */
  notPlaced: 5,
  /** The program trapped, passed a limit, or its host died. */
  cellFailed: 6,
  /** The cell was stopped by its owner. */
  cellStopped: 7,
} as const

export interface FlagSpec {
  readonly type: 'string' | 'boolean'
  readonly multiple?: boolean
  readonly short?: string
  /** Name of the value in `--help`. */
  readonly value?: string
  readonly help: string
}

export interface VerbContext {
  readonly flags: Readonly<Record<string, string | boolean | readonly string[] | undefined>>
  readonly args: readonly string[]
  /** What stands behind `--`. */
  readonly rest: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string
  readonly out: Output
  readonly signal: AbortSignal
  /** Connects to the home's peer and, in text mode, prints the line that names it. */
  peer(): Promise<ControlClient>
}

export interface Verb {
  readonly name: string
  readonly summary: string
  /** Positional arguments, as `--help` shows them. */
  readonly usage: string
  readonly example: string
  readonly flags: Readonly<Record<string, FlagSpec>>
  readonly minArgs: number
  readonly maxArgs: number
  /** Resolves with the exit code. */
  run(context: VerbContext): Promise<number>
}

/** A flag given once as text. */
export function textFlag(context: VerbContext, name: string): string | undefined {
  const value = context.flags[name]
  return typeof value === 'string' ? value : undefined
}

export function listFlag(context: VerbContext, name: string): readonly string[] {
  const value = context.flags[name]
  return Array.isArray(value) ? (value as readonly string[]) : typeof value === 'string' ? [value] : []
}

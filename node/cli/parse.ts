// From the words of a command line to a verb's flags and arguments, or a usage error that says what was meant instead.
import { parseArgs } from 'node:util'
import { CodedError, messageOf } from '../../core/errors.ts'
import type { CliErrorCode } from './errors.ts'
import { GLOBAL_FLAGS } from './help.ts'
import type { Verb, VerbContext } from './verb.ts'

export type Parsed = Pick<VerbContext, 'flags' | 'args' | 'rest'>

export function parse(verb: Verb, argv: readonly string[]): Parsed {
  const divider = argv.indexOf('--')
  const own = divider === -1 ? argv : argv.slice(0, divider)
  const rest = divider === -1 ? [] : argv.slice(divider + 1)
  const options = Object.fromEntries(
    Object.entries({ ...verb.flags, ...GLOBAL_FLAGS }).map(([name, flag]) => [
      name,
      { type: flag.type, multiple: flag.multiple ?? false, ...(flag.short === undefined ? {} : { short: flag.short }) },
    ]),
  )
  let values: Record<string, string | boolean | (string | boolean)[] | undefined>
  let positionals: string[]
  try {
    ;({ values, positionals } = parseArgs({ args: [...own], options, allowPositionals: true, allowNegative: true }))
  } catch (error) {
    // Node adds a guess about dashes that fits no verb of ours.
    throw usage(verb, messageOf(error).replace(/\. To specify a positional argument.*$/s, ''))
  }
  if (values.help === true) return { flags: { help: true }, args: [], rest: [] }
  const fits = positionals.length >= verb.minArgs && positionals.length <= verb.maxArgs
  if (!fits || (divider !== -1 && !verb.usage.includes('[--')))
    throw usage(verb, `it takes ${verb.usage === '' ? 'no arguments' : verb.usage}`)
  if (values.output !== undefined && values.output !== 'json' && values.output !== 'text')
    throw usage(verb, `-o takes json or text, not ${String(values.output)}`)
  if (values.home === '') throw usage(verb, '--home names no folder')
  return { flags: values as VerbContext['flags'], args: positionals, rest }
}

function usage(verb: Verb, problem: string): CodedError<CliErrorCode> {
  return new CodedError('USAGE', `${verb.name}: ${problem}; "cloudskin ${verb.name} --help" shows an example`)
}

/** Whether `argv` asks for JSON, however wrong the rest of it is: what is wrong is said in the form that was asked for. */
export function wantsJson(argv: readonly string[]): boolean {
  const divider = argv.indexOf('--')
  const args = argv.slice(0, divider === -1 ? argv.length : divider)
  const { values } = parseArgs({ args, options: { output: { type: 'string', short: 'o' } }, strict: false })
  return values.output === 'json'
}

/** The same command line for the process that is to be the peer: it shall not go to the background once more. */
export function inForeground(argv: readonly string[]): string[] {
  return [...argv, '--no-detach']
}

/** There is no such verb; with the one that was probably meant. */
export function unknownVerb(name: string, names: readonly string[]): CodedError<CliErrorCode> {
  const [nearest, away = 0] = names
    .map((known) => [known, editsBetween(name, known)] as const)
    .reduce((best, one) => (one[1] < best[1] ? one : best))
  const hint = away <= 2 && away < name.length ? `did you mean "${nearest}"? ` : ''
  return new CodedError('USAGE', `there is no verb "${name}"; ${hint}"cloudskin help" lists them`)
}

/** Levenshtein's distance: the fewest letters put in, taken out or exchanged. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (const [j, other] of [...b].entries())
      next.push(Math.min((row[j] ?? 0) + (letter === other ? 0 : 1), (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    row = next
  }
  return row.at(-1) ?? 0
}

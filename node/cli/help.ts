// Help, exit codes and shell completion, all made from the table of verbs.
import { CodedError } from '../../core/errors.ts'
import type { CliErrorCode } from './errors.ts'
import { EXIT, type FlagSpec, type Verb } from './verb.ts'

export const GLOBAL_FLAGS: Readonly<Record<string, FlagSpec>> = {
  home: { type: 'string', value: 'DIR', help: 'home of the peer (default: $CLOUDSKIN_HOME, else ~/.cloudskin)' },
  output: { type: 'string', short: 'o', value: 'text|json', help: 'what to print (default: text)' },
  help: { type: 'boolean', short: 'h', help: 'explain the verb, with an example' },
}

const EXIT_MEANING: Readonly<Record<keyof typeof EXIT, string>> = {
  ok: 'done',
  failed: 'failed; standard error says how, with a code (docs/ERRORS.md)',
  usage: 'the command line is wrong',
  noPeer: 'no peer runs on this home',
  notFound: 'the peer knows no such cell, peer, invite or file of a cell',
  notPlaced: 'no peer would take the cell',
  cellFailed: 'the program trapped, passed a limit, or its host died',
  cellStopped: 'the cell was stopped by its owner',
}

export function overview(verbs: readonly Verb[], version: string): string {
  const width = Math.max(...verbs.map((verb) => verb.name.length))
  return [
    `cloudskin ${version}: run WebAssembly cells on a mesh of your own machines, and move them while they run`,
    '',
    'usage: cloudskin VERB [ARGUMENTS] [FLAGS]',
    '',
    ...verbs.map((verb) => `  ${verb.name.padEnd(width)}  ${verb.summary}`),
    '',
    'cloudskin VERB --help explains a verb; cloudskin help exit-codes lists the exit codes.',
  ].join('\n')
}

export function verbHelp(verb: Verb): string {
  return [
    `${verb.summary}`,
    '',
    `usage: cloudskin ${verb.name}${usageOf(verb)}`,
    '',
    'example:',
    `  ${verb.example}`,
    '',
    ...flagLines({ ...verb.flags, ...GLOBAL_FLAGS }),
  ].join('\n')
}

/** Flags come before the `--` behind which everything is the program's. */
function usageOf(verb: Verb): string {
  const [own = '', rest] = verb.usage.split(' [--')
  return `${own === '' ? '' : ` ${own}`} [FLAGS]${rest === undefined ? '' : ` [--${rest}`}`
}

export function exitCodesHelp(): string {
  const lines = Object.entries(EXIT).map(([name, code]) => `  ${code}  ${EXIT_MEANING[name as keyof typeof EXIT]}`)
  return [
    'exit codes:',
    ...lines,
    '  130  interrupted with Ctrl-C; a cell that was being followed goes on',
    '',
    "run, and logs -f, exit with the program's own code once it has finished.",
  ].join('\n')
}

function flagLines(flags: Readonly<Record<string, FlagSpec>>): string[] {
  const left = Object.entries(flags).map(([name, flag]) => {
    const short = flag.short === undefined ? '    ' : `-${flag.short}, `
    return `${short}--${name}${flag.value === undefined ? '' : ` ${flag.value}`}`
  })
  const width = Math.max(...left.map((text) => text.length))
  return Object.values(flags).map((flag, index) => `  ${(left[index] ?? '').padEnd(width)}  ${flag.help}`)
}

export function completionVerb(verbs: () => readonly Verb[]): Verb {
  return {
    name: 'completion',
    summary: 'print a script that completes verbs and flags',
    usage: 'bash|zsh|fish',
    example: 'source <(cloudskin completion bash)',
    minArgs: 1,
    maxArgs: 1,
    flags: {},
    async run({ args, out }) {
      const shell = args[0] ?? ''
      const script = completionScript(shell, verbs())
      if (script === undefined)
        throw new CodedError<CliErrorCode>('USAGE', `completion takes bash, zsh or fish, not "${shell}"`)
      out.value({ shell, script })
      if (!out.json) out.raw('stdout', Buffer.from(`${script}\n`))
      return EXIT.ok
    },
  }
}

/** A completion script for `shell`; undefined for a shell that is not known. */
export function completionScript(shell: string, verbs: readonly Verb[]): string | undefined {
  const names = [...verbs.map((verb) => verb.name), 'help']
  const flagsOf = (verb: Verb): string =>
    Object.keys({ ...verb.flags, ...GLOBAL_FLAGS })
      .map((flag) => `--${flag}`)
      .join(' ')
  switch (shell) {
    case 'bash':
      return [
        '_cloudskin() {',
        '  local word="${COMP_WORDS[COMP_CWORD]}" verb="${COMP_WORDS[1]}"',
        `  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "${names.join(' ')}" -- "$word")); return; fi`,
        '  case "$verb" in',
        ...verbs.map((verb) => `    ${verb.name}) COMPREPLY=($(compgen -f -W "${flagsOf(verb)}" -- "$word"));;`),
        '  esac',
        '}',
        'complete -o filenames -F _cloudskin cloudskin',
      ].join('\n')
    case 'zsh':
      return [
        '#compdef cloudskin',
        '_cloudskin() {',
        `  if (( CURRENT == 2 )); then compadd ${names.join(' ')}; return; fi`,
        '  case "$words[2]" in',
        ...verbs.map((verb) => `    ${verb.name}) compadd -- ${flagsOf(verb)}; _files;;`),
        '  esac',
        '}',
        'compdef _cloudskin cloudskin',
      ].join('\n')
    case 'fish':
      return [
        ...verbs.map(
          (verb) =>
            `complete -c cloudskin -n __fish_use_subcommand -a ${verb.name} -d '${verb.summary.replaceAll("'", "\\'")}'`,
        ),
        ...verbs.flatMap((verb) =>
          Object.entries({ ...verb.flags, ...GLOBAL_FLAGS }).map(
            ([name, flag]) =>
              `complete -c cloudskin -n '__fish_seen_subcommand_from ${verb.name}' -l ${name} -d '${flag.help.replaceAll("'", "\\'")}'`,
          ),
        ),
      ].join('\n')
    default:
      return undefined
  }
}

// From flags, environment, one file, the preset and the defaults to the effective options, each with its origin.
import { readFile } from 'node:fs/promises'
import { parse as parseToml } from 'smol-toml'
import { CodedError, messageOf } from '../../core/errors.ts'
import type { ConfigErrorCode } from './errors.ts'
import { defaults, OPTIONS, type OptionName, type OptionSpec, type Options, PRESETS } from './options.ts'

export type Origin = 'default' | `preset ${string}` | `file ${string}` | `environment ${string}` | 'flag'

export interface EffectiveConfig {
  readonly options: Options
  readonly origins: Readonly<Record<OptionName, Origin>>
}

export interface ConfigSources {
  /** Values as `parseArgs` gives them: texts, lists of texts, booleans. */
  readonly flags: Readonly<Record<string, unknown>>
  readonly env: Readonly<Record<string, string | undefined>>
  /** A TOML file; with `required`, its absence is an error. */
  readonly file: { readonly path: string; readonly required: boolean }
}

export const optionNames = Object.keys(OPTIONS) as readonly OptionName[]

export function envName(option: OptionName): string {
  return `CLOUDSKIN_${option.replaceAll('-', '_').toUpperCase()}`
}

export async function loadConfig(sources: ConfigSources): Promise<EffectiveConfig> {
  const file = await readConfigFile(sources.file)
  const given = new Map<OptionName, { value: unknown; origin: Origin }>()
  for (const [key, value] of Object.entries(file)) {
    if (!isOption(key)) throw unknownOption(key, sources.file.path)
    given.set(key, { value, origin: `file ${sources.file.path}` })
  }
  for (const name of optionNames) {
    const text = sources.env[envName(name)]
    if (text !== undefined) given.set(name, { value: text, origin: `environment ${envName(name)}` })
    const flag = sources.flags[name]
    if (flag !== undefined) given.set(name, { value: flag, origin: 'flag' })
  }
  return resolve(given)
}

function resolve(given: ReadonlyMap<OptionName, { value: unknown; origin: Origin }>): EffectiveConfig {
  const options: Record<string, unknown> = { ...defaults() }
  const origins = Object.fromEntries(optionNames.map((name) => [name, 'default' as Origin])) as Record<
    OptionName,
    Origin
  >
  const presetGiven = given.get('preset')
  const preset = presetGiven === undefined ? defaults().preset : String(parseOption('preset', presetGiven.value))
  for (const [name, value] of Object.entries(PRESETS[preset] ?? {})) {
    options[name] = value
    origins[name as OptionName] = `preset ${preset}`
  }
  for (const [name, { value, origin }] of given) {
    options[name] = parseOption(name, value)
    origins[name] = origin
  }
  return { options: options as Options, origins }
}

async function readConfigFile(file: ConfigSources['file']): Promise<Record<string, unknown>> {
  let text: string
  try {
    text = await readFile(file.path, 'utf8')
  } catch (error) {
    // A home that does not exist yet, or cannot, is not the configuration's matter.
    const { code = '' } = error as NodeJS.ErrnoException
    if (!file.required && (code === 'ENOENT' || code === 'ENOTDIR')) return {}
    throw unreadable(file.path, error)
  }
  try {
    return parseToml(text)
  } catch (error) {
    throw unreadable(file.path, error)
  }
}

/** A value from any source as the option's own type; throws `CONFIG_BAD_VALUE`. */
function parseOption(name: OptionName, value: unknown): unknown {
  const spec: OptionSpec = OPTIONS[name]
  switch (spec.kind) {
    case 'text': {
      if (typeof value !== 'string' || value === '') throw badValue(name, value, 'a text')
      if (spec.choices && !spec.choices.includes(value))
        throw badValue(name, value, `one of ${spec.choices.join(', ')}`)
      return value
    }
    case 'list':
      return asList(name, value)
    case 'labels':
      return asLabels(name, value)
    case 'boolean': {
      if (typeof value === 'boolean') return value
      if (value === 'true' || value === '1') return true
      if (value === 'false' || value === '0') return false
      throw badValue(name, value, 'true or false')
    }
    default:
      return asNumber(name, spec, value)
  }
}

function asNumber(name: OptionName, spec: OptionSpec, value: unknown): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  if (typeof number !== 'number' || !Number.isFinite(number)) throw badValue(name, value, 'a number')
  if (spec.kind === 'ratio') {
    if (number <= 0 || number > 1) throw badValue(name, value, 'a number above 0 and up to 1')
    return number
  }
  const min = spec.min ?? 0
  const max = spec.max ?? Number.MAX_SAFE_INTEGER
  if (!Number.isInteger(number) || number < min || number > max)
    throw badValue(name, value, `a whole number from ${min} to ${max}`)
  return number
}

function asList(name: OptionName, value: unknown): readonly string[] {
  const items = typeof value === 'string' ? value.split(',').map((item) => item.trim()) : value
  if (!Array.isArray(items) || items.some((item) => typeof item !== 'string' || item === ''))
    throw badValue(name, value, 'a list of texts')
  return items as string[]
}

function asLabels(name: OptionName, value: unknown): Readonly<Record<string, string>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, text]) => [key, String(text)]))
  }
  const labels: Record<string, string> = {}
  for (const item of asList(name, value)) {
    const at = item.indexOf('=')
    if (at < 1) throw badValue(name, item, 'KEY=VALUE')
    labels[item.slice(0, at)] = item.slice(at + 1)
  }
  return labels
}

function isOption(key: string): key is OptionName {
  return Object.hasOwn(OPTIONS, key)
}

function unknownOption(key: string, path: string): CodedError<ConfigErrorCode> {
  return new CodedError(
    'CONFIG_UNKNOWN_OPTION',
    `${path} sets "${key}", which is no option; "cloudskin config show" lists them`,
    {
      facts: { option: key, file: path },
    },
  )
}

function badValue(name: OptionName, value: unknown, wanted: string): CodedError<ConfigErrorCode> {
  return new CodedError('CONFIG_BAD_VALUE', `option ${name} must be ${wanted}, not ${JSON.stringify(value)}`, {
    facts: { option: name },
  })
}

function unreadable(path: string, error: unknown): CodedError<ConfigErrorCode> {
  return new CodedError('CONFIG_UNREADABLE', `cannot read the configuration file ${path}: ${messageOf(error)}`, {
    facts: { file: path },
    cause: error,
  })
}

// The options of a peer as flags of the verbs that take them.
import { join } from 'node:path'
import { loadConfig, optionNames } from '../config/load.ts'
import { OPTIONS, type OptionSpec, type Options } from '../config/options.ts'
import type { ConfigReply } from '../control/api.ts'
import { type FlagSpec, textFlag, type VerbContext } from './verb.ts'

export const optionFlags: Readonly<Record<string, FlagSpec>> = {
  config: { type: 'string', value: 'FILE', help: 'TOML file with options (default: config.toml in the home)' },
  ...Object.fromEntries(Object.entries(OPTIONS).map(([name, spec]) => [name, flagOf(spec)])),
}

function flagOf(spec: OptionSpec): FlagSpec {
  const choices = spec.choices === undefined ? '' : ` (${spec.choices.join(', ')})`
  return {
    type: spec.kind === 'boolean' ? 'boolean' : 'string',
    multiple: spec.kind === 'list' || spec.kind === 'labels',
    ...(spec.value === undefined ? {} : { value: spec.value }),
    help: `${spec.help}${choices}`,
  }
}

/** What a peer that is started by this command takes, and how that is shown. Rejects with `CONFIG_*`. */
export async function configOf(context: VerbContext): Promise<{ options: Options; reply: ConfigReply }> {
  const file = configFile(context)
  const { options, origins } = await loadConfig({ flags: context.flags, env: context.env, file })
  const shown = optionNames.map((name) => {
    return { name, value: options[name], origin: origins[name], help: OPTIONS[name].help }
  })
  return { options, reply: { file: file.path, options: shown } }
}

/** The configuration file of a command: the named one must exist, the home's own need not. */
function configFile(context: VerbContext): { path: string; required: boolean } {
  const named = textFlag(context, 'config') ?? context.env.CLOUDSKIN_CONFIG
  return named === undefined
    ? { path: join(context.home, 'config.toml'), required: false }
    : { path: named, required: true }
}

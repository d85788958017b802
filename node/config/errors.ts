// Codes of the configuration.
import type { CodeTable } from '../../core/errors.ts'

export type ConfigErrorCode = 'CONFIG_UNREADABLE' | 'CONFIG_UNKNOWN_OPTION' | 'CONFIG_BAD_VALUE'

export const CONFIG_ERRORS: CodeTable<ConfigErrorCode> = {
  CONFIG_UNREADABLE: 'The configuration file is missing, unreadable or not TOML.',
  CONFIG_UNKNOWN_OPTION: 'The configuration names an option that does not exist.',
  CONFIG_BAD_VALUE: 'An option has a value it cannot take.',
}

// The version of this program, as package.json has it.
import { readFileSync } from 'node:fs'

/** package.json stands two folders up in the published package (`dist/node`), one up in the source tree. */
const packageUrl = new URL(import.meta.url.endsWith('.ts') ? '../package.json' : '../../package.json', import.meta.url)

export const VERSION: string = (JSON.parse(readFileSync(packageUrl, 'utf8')) as { version: string }).version

// Writes docs/ERRORS.md from the code tables of all folders; with --check, only says whether it is up to date.
import { glob, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'

const target = 'docs/ERRORS.md'

const lines = [
  '# Errors',
  '',
  'Every failure carries a code to branch on; its message says what happened, to what, and what to do next. This file is made',
  'from the tables in the code by `npm run errors`.',
  '',
]
const paths: string[] = []
for await (const path of glob('{core,protocols,cells,fl,node}/**/errors.ts')) paths.push(path)
for (const path of paths.sort()) {
  const module = (await import(pathToFileURL(path).href)) as Record<string, unknown>
  for (const [name, table] of Object.entries(module)) {
    if (!name.endsWith('_ERRORS')) continue
    lines.push(`## ${dirname(path)}`, '', '| code | meaning |', '| --- | --- |')
    for (const [code, meaning] of Object.entries(table as Record<string, string>))
      lines.push(`| \`${code}\` | ${meaning} |`)
    lines.push('')
  }
}
const text = lines.join('\n')

if (!process.argv.includes('--check')) {
  await writeFile(target, text)
} else if ((await readFile(target, 'utf8').catch(() => '')) !== text) {
  process.stderr.write(`${target} is not what the code tables say; run "npm run errors"\n`)
  process.exitCode = 1
}

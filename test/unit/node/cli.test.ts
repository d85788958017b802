import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { completionScript } from '../../../node/cli/help.ts'
import { formatAge, formatBytes, formatMs, formatTable, shortId } from '../../../node/cli/output.ts'
import { cellVerbs } from '../../../node/cli/verbs-cells.ts'

describe('output', () => {
  test('columns line up and the last one is ragged', () => {
    expect(
      formatTable(
        ['A', 'LONG', 'Z'],
        [
          ['aaa', 'b', 'c'],
          ['a', 'b', ''],
        ],
      ),
    ).toEqual(['A    LONG  Z', 'aaa  b     c', 'a    b'])
  })

  test.each([
    [999, '1s'],
    [61_000, '1m1s'],
    [3_600_000, '1h'],
    [3 * 86_400_000, '3d'],
  ])('age of %d ms', (ms, text) => expect(formatAge(ms)).toBe(text))

  test.each([
    [512, '512 B'],
    [1536, '1.5 KiB'],
    [300 * 1024 * 1024, '300 MiB'],
    [5 * 1024 ** 4, '5120 GiB'],
  ])('size of %d bytes', (bytes, text) => expect(formatBytes(bytes)).toBe(text))

  test('times and ids', () => {
    expect([formatMs(1.234), formatMs(250), formatMs(1500), formatMs(12_345)]).toEqual([
      '1.2 ms',
      '250 ms',
      '1.50 s',
      '12.3 s',
    ])
    expect(shortId('12D3KooWAbcdefghijklmnop')).toBe('…ijklmnop')
  })
})

describe('completion', () => {
  test('the bash script is valid and completes verbs', () => {
    const script = completionScript('bash', cellVerbs) ?? ''
    const run = `${script}\nCOMP_WORDS=(cloudskin mig) COMP_CWORD=1; _cloudskin; echo "\${COMPREPLY[@]}"`
    expect(execFileSync('bash', ['-c', run]).toString().trim()).toBe('migrate')
  })

  test('an unknown shell has none', () => {
    expect(completionScript('tcsh', cellVerbs)).toBeUndefined()
  })
})

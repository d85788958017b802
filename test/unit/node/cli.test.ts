import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { completionScript } from '../../../node/cli/help.ts'
import { formatAge, formatBytes, formatMs, formatTable, shortId } from '../../../node/cli/output.ts'
import { inForeground, parse, unknownVerb, wantsJson } from '../../../node/cli/parse.ts'
import type { Verb } from '../../../node/cli/verb.ts'
import { cellVerbs } from '../../../node/cli/verbs-cells.ts'
import { peerVerbs } from '../../../node/cli/verbs-peer.ts'

const verbOf = (name: string): Verb => {
  const verb = [...cellVerbs, ...peerVerbs].find((one) => one.name === name)
  if (verb === undefined) throw new Error(`no verb ${name}`)
  return verb
}

describe('a command line', () => {
  // A peer that went to the background again and again would fill the machine with processes.
  test.each([[['-d']], [['--detach']], [['-do', 'json']], [['--name', 'x', '-d', '-d']], [['--detach', '--no-mdns']]])(
    'that went to the background with %j does so once',
    (argv) => {
      expect(parse(verbOf('up'), argv).flags.detach).toBe(true)
      expect(parse(verbOf('up'), inForeground(argv)).flags.detach).toBe(false)
    },
  )

  test.each([
    ['ps', ['--', 'x']],
    ['up', ['-d', '--']],
    ['ps', ['--home', '']],
    ['ps', ['-o', 'xml']],
    ['get', ['3f2a']],
    ['run', ['a.wasm', 'b']],
  ])('of %s that is wrong is refused: %j', (verb, argv) => {
    expect(() => parse(verbOf(verb), argv)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })

  test('leaves to the program what stands behind the first --', () => {
    expect(parse(verbOf('run'), ['a.wasm', '-d', '--', '-d', '--', '--help'])).toMatchObject({
      args: ['a.wasm'],
      rest: ['-d', '--', '--help'],
      flags: { detach: true },
    })
  })

  test.each([
    [['dance', '-o', 'json'], true],
    [['ps', '--output=json', '--colour'], true],
    [['up', '-do', 'json'], true],
    [['get', '3f2a', 'json'], false],
    [['run', 'a.wasm', '--', '-o', 'json'], false],
  ])('is answered in the form it asks for, even if it is wrong: %j', (argv, json) => {
    expect(wantsJson(argv)).toBe(json)
  })

  test('with a verb that is not there names the nearest one, if one is near', () => {
    const verbs = ['migrate', 'ps', 'peers', 'logs']
    expect(unknownVerb('migrat', verbs).message).toContain('did you mean "migrate"?')
    expect(unknownVerb('log', verbs).message).toContain('did you mean "logs"?')
    expect(unknownVerb('dance', verbs).message).not.toContain('did you mean')
    expect(unknownVerb('x', verbs).message).not.toContain('did you mean')
  })
})

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

  test('what other peers call themselves neither draws nor begins a line', () => {
    expect(formatTable(['NAME', 'X'], [['a\u001b[2Jb\r\nCELL', 'x\u009b']])).toEqual([
      'NAME         X',
      'a\ufffd[2Jb CELL  x\ufffd',
    ])
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

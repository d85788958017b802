// The samples give the same on ours and on Node's WASI: output, exit code, files.
import { describe, expect, it } from 'vitest'
import { runOnNode, runOnOurs, sample } from './programs.ts'
import { samplePrograms } from './sample-programs.ts'

describe('samples', () => {
  it.each(Object.entries(samplePrograms))('%s gives the same as on Node', (name, { says, ...program }) => {
    const ours = runOnOurs({ module: sample(name), ...program })
    expect(ours.stdout).toMatch(says)
    expect(ours).toEqual(runOnNode({ module: sample(name), ...program }))
    expect(ours.exitCode).toBe(0)
  })

  it.each([
    ['exit', ['fault', 'exit', '42'], 42],
    ['wrong use', ['fault', 'exit', 'x'], 2],
    ['no mode', ['fault'], 2],
  ] as const)('fault: %s', (_, args, exitCode) => {
    const ours = runOnOurs({ module: sample('fault'), args })
    expect(ours.exitCode).toBe(exitCode)
    expect(ours).toEqual(runOnNode({ module: sample('fault'), args }))
  })

  it('a missing input is said and ends with 1', () => {
    const program = { module: sample('edges'), args: ['edges', '/in/none.ppm', '/out.pgm'] }
    const ours = runOnOurs(program)
    expect(ours).toEqual(runOnNode(program))
    expect(ours).toMatchObject({ exitCode: 1, stderr: 'cannot read /in/none.ppm: No such file or directory\n' })
  })

  it('fault: a full disk is an errno, and the program goes on', () => {
    const ours = runOnOurs({ module: sample('fault'), args: ['fault', 'fill', '/tmp/x'], diskBytes: 1_000_000 })
    expect(ours).toMatchObject({ exitCode: 4, stdout: '1000000 bytes written, then: No space left on device\n' })
  })

  it.each([
    ['flood', { code: 'CELL_OUTPUT_LIMIT' }],
    ['trap', { name: 'RuntimeError', message: expect.stringContaining('unreachable') }],
    ['abort', { name: 'RuntimeError' }],
    ['divide', { name: 'RuntimeError', message: expect.stringContaining('divide by zero') }],
    ['pointer', { name: 'RuntimeError', message: expect.stringContaining('memory access out of bounds') }],
    ['recurse', { name: 'RangeError', message: expect.stringContaining('call stack') }],
  ])('fault: %s', (mode, error) => {
    expect(() => runOnOurs({ module: sample('fault'), args: ['fault', mode] })).toThrow(expect.objectContaining(error))
  })
})

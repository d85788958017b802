import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../../node/config/load.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudskin-config-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function fileWith(text: string): Promise<{ path: string; required: boolean }> {
  const path = join(folder, 'config.toml')
  await writeFile(path, text)
  return { path, required: true }
}
const none = { path: '/nonexistent/config.toml', required: false }

describe('configuration', () => {
  test('flags beat the environment, that beats the file, that the preset, that the default', async () => {
    const file = await fileWith('preset = "cloud"\nslots = 3\nzone = "file"\nname = "file"\n')
    const env = { CLOUDSKIN_ZONE: 'env', CLOUDSKIN_NAME: 'env' }
    const { options, origins } = await loadConfig({ flags: { name: 'flag' }, env, file })
    expect(options).toMatchObject({ name: 'flag', zone: 'env', slots: 3, 'cell-memory-mb': 2048, calibrate: true })
    expect(origins).toMatchObject({
      name: 'flag',
      zone: 'environment CLOUDSKIN_ZONE',
      slots: `file ${file.path}`,
      'cell-memory-mb': 'preset cloud',
      calibrate: 'default',
    })
  })

  test('labels come as pairs or as a table', async () => {
    const file = await fileWith('[label]\nsite = "roadside"\n')
    expect((await loadConfig({ flags: {}, env: {}, file })).options.label).toEqual({ site: 'roadside' })
    expect((await loadConfig({ flags: { label: ['a=b', 'c=d=e'] }, env: {}, file: none })).options.label).toEqual({
      a: 'b',
      c: 'd=e',
    })
  })

  test.each([
    ['an unknown option', 'slot = 1', {}, 'CONFIG_UNKNOWN_OPTION'],
    ['a file that is not TOML', 'slots = ', {}, 'CONFIG_UNREADABLE'],
    ['a number out of range', 'slots = 5000', {}, 'CONFIG_BAD_VALUE'],
    ['a text for a number', '', { CLOUDSKIN_SLOTS: 'many' }, 'CONFIG_BAD_VALUE'],
    ['an empty number', '', { CLOUDSKIN_SLOTS: '' }, 'CONFIG_BAD_VALUE'],
    ['a share of zero', 'fuel-share = 0', {}, 'CONFIG_BAD_VALUE'],
    ['an unknown preset', 'preset = "moon"', {}, 'CONFIG_BAD_VALUE'],
  ])('refuses %s', async (_, text, env, code) => {
    const file = await fileWith(text)
    await expect(loadConfig({ flags: {}, env, file })).rejects.toMatchObject({ code })
  })

  test('a named file must be there', async () => {
    await expect(loadConfig({ flags: {}, env: {}, file: { ...none, required: true } })).rejects.toMatchObject({
      code: 'CONFIG_UNREADABLE',
    })
    expect((await loadConfig({ flags: {}, env: {}, file: none })).options.slots).toBe(2)
  })
})

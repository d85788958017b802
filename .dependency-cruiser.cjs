// The layers of the house: a module imports its own folder and folders below it, never sideways, never up, never in a circle.
const below = {
  core: [],
  'protocols/kit': ['core'],
  cells: ['core'],
  fl: ['core'],
  node: ['core', 'protocols', 'cells', 'fl'],
  testnet: ['core', 'protocols', 'cells', 'fl', 'node'],
}
const ours = '^(core|protocols|cells|fl|node|testnet|test)/'

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'protocols-know-only-kit-and-core',
      severity: 'error',
      from: { path: '^protocols/([^/]+)/' },
      to: { path: ours, pathNot: '^(core/|protocols/kit/|protocols/$1/)' },
    },
    ...Object.entries(below).map(([folder, allowed]) => ({
      name: `${folder.replace('/', '-')}-layer`,
      severity: 'error',
      from: { path: `^${folder}/` },
      to: { path: ours, pathNot: `^(${[folder, ...allowed].map((name) => `${name}/`).join('|')})` },
    })),
    {
      name: 'testnet-spawns-the-peer',
      comment:
        'the command line and the peer run as processes of their own; only their pure parts and the control client are imported',
      severity: 'error',
      from: { path: '^testnet/' },
      to: { path: '^node/(main|peer)\\.ts$' },
    },
    { name: 'nothing-imports-tests', severity: 'error', from: { pathNot: '^test/' }, to: { path: '^test/' } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^test/third-party/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js', '.json'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
}

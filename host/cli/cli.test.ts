import { copyFile, mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFakeWallet, ECDSA_WALLET, paymentOf, RECIPIENT } from '../api/testing/fake-wallet.ts';
import { createHarness, type Harness } from '../api/testing/harness.ts';
import type { Problem } from '../api/problems.ts';
import { runCli } from './run.ts';

let harness: Harness;
let folder: string;
let token: string;
beforeAll(async () => {
  harness = await createHarness();
  token = await harness.token('admin');
  folder = await mkdtemp(join(tmpdir(), 'cli-'));
  await mkdir(join(folder, 'data/cluster'), { recursive: true });
  await writeFile(join(folder, 'data/cluster/admin.token'), `${token}\n`);
  await writeFile(join(folder, 'data/cluster/client.json'), JSON.stringify({ endpoint: harness.api.url, token_file: 'admin.token' }));
});
afterAll(async () => {
  await harness.api.close();
  await rm(folder, { recursive: true });
});

interface Run {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}
interface World {
  readonly env?: Record<string, string>;
  readonly stdin?: string;
  /** stdin and stdout are a terminal. */
  readonly terminal?: boolean;
  /** No --data of the running cluster. */
  readonly bare?: boolean;
  /** Another folder below the temporary one. */
  readonly data?: string;
}

async function cli(
  args: readonly string[],
  { env = {}, stdin, terminal = false, bare = false, data = bare ? 'elsewhere' : 'data' }: World = {},
): Promise<Run> {
  const read = (stream: PassThrough) => {
    let text = '';
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
    return () => text;
  };
  const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
  const out = read(streams.stdout);
  const err = read(streams.stderr);
  if (stdin !== undefined) streams.stdin.end(stdin);
  const tty = terminal ? { isTTY: true } : {};
  const io = { stdin: Object.assign(streams.stdin, tty), stdout: Object.assign(streams.stdout, tty), stderr: streams.stderr, env };
  const exit = await runCli([...args, '--data', join(folder, data)], io);
  return { exit, out: out(), err: err() };
}
const json = async (args: readonly string[], world?: World) => {
  const run = await cli([...args, '--json'], world);
  return {
    ...run,
    document: run.out === '' ? undefined : (JSON.parse(run.out) as any),
    problem: run.err === '' ? undefined : (JSON.parse(run.err) as Problem),
  };
};
const pay = ['send', '--to', RECIPIENT];

describe('answers', () => {
  it('every reading command prints one JSON document, the answer of the API', async () => {
    const sent = await harness.fake.service.send('w-ecdsa', { recipients: [{ address: RECIPIENT, amount_sats: 5 }] });
    const commands: [string[], string][] = [
      [['wallet', 'list'], '/api/v1/wallets'],
      [['wallet', 'balance'], '/api/v1/wallet/balance'],
      [['wallet', 'balance', 'w-frost'], '/api/v1/wallet/w-frost/balance'],
      [['wallet', 'balance', '--wallet', 'w-frost'], '/api/v1/wallet/w-frost/balance'],
      [['wallet', 'address'], '/api/v1/wallet/w-ecdsa/address'],
      [['wallet', 'address', 'w-frost', '--account', '7', '--index', '2147483647'], '/api/v1/wallet/w-frost/address?account=7&index=2147483647'],
      [['wallet', 'addresses', '--account', '7', '--limit', '2', '--offset', '1'], '/api/v1/wallet/w-ecdsa/addresses?account=7&limit=2&offset=1'],
      [['wallet', 'utxos'], '/api/v1/wallet/w-ecdsa/utxos'],
      [['tx', 'list'], '/api/v1/transactions'],
      [['tx', 'list', '--wallet', 'w-frost', '--state', 'failed', '--limit', '3', '--offset', '1'], '/api/v1/transactions?wallet_id=w-frost&state=failed&limit=3&offset=1'],
      [['tx', 'status', sent.tx_id], `/api/v1/transactions/${sent.tx_id}`],
      [['tx', 'status', sent.txid], `/api/v1/transactions/${sent.tx_id}`],
      [['votes', sent.tx_id], `/api/v1/consensus/votes/${sent.tx_id}`],
      [['cluster', 'status'], '/api/v1/cluster/status'],
      [['presig', 'status'], '/api/v1/pool/status'],
      [['pool', 'status', '--wallet', 'w-ecdsa'], '/api/v1/pool/status?wallet_id=w-ecdsa'],
      [['presig', 'list'], '/api/v1/presig'],
      [['dkg', 'status'], '/api/v1/dkg/status'],
      [['keys', 'status', 'w-ecdsa'], '/api/v1/keys/w-ecdsa'],
      [['health'], '/health'],
    ]; // prettier-ignore
    for (const [args, path] of commands) {
      const { exit, document, err } = await json(args);
      expect([args, exit, err, document]).toEqual([args, 0, '', (await harness.request(path, { as: 'admin' })).body]);
    }
    expect((await json(['cluster', 'nodes'])).document.nodes).toHaveLength(5);
  });

  it('tables show what people look for', async () => {
    const { tx_id } = await harness.fake.service.send('w-frost', {
      recipients: [{ address: RECIPIENT, amount_sats: 1_234_567 }],
      metadata: 'rent\u001b[2J\u202e evil',
    });
    const commands: [string[], RegExp[]][] = [
      [['wallet', 'list'], [/treasury.*cggmp24.*p2wpkh.*4 of 5/, /cold.*frost.*p2tr/]],
      [['wallet', 'balance'], [/confirmed.*0\.05000000 BTC {2}\(5 000 000 sats\)/, /outputs.*2/]],
      [['wallet', 'address'], [new RegExp(`address.*${ECDSA_WALLET.address}`), /p2wpkh, regtest/]],
      [['wallet', 'address', '--new', '--account', '7'], [/path.*m\/7\/0\/3/]],
      [['wallet', 'address', '--new', '--index', '9'], [/path.*m\/0\/0\/9/]],
      [['wallet', 'addresses'], [/m\/0\/0\/2.*receive.*2/]],
      [['wallet', 'export', '--account', '7'], [/account 7, receive.*wpkh\(tpub\/7\/0\/\*\)#/, /own address.*wpkh\(tpub\)#/]],
      [['wallet', 'utxos'], [/(ef){32}:1.*5 000 000 sats.*6.*no/]],
      [['tx', 'list', '--limit', '1'], [new RegExp(`${tx_id}.*w-frost.*broadcast.*1 234 567 sats`), /\d+ more: --offset 1/]],
      [['tx', 'status', tx_id], [/0\.01234567 BTC {2}\(1 234 567 sats\)/, /signed by.*node-1, node-2, node-3, node-4/, /rent\\u001b\[2J\\u202e evil/]],
      [['votes', tx_id], [/node-1.*approve/, /4 of 5 voted, 4 needed: approved/]],
      [['cluster', 'status'], [/5 of 5 healthy, 4 needed to sign/]],
      [['cluster', 'nodes'], [/node-1.*self/, /node-5.*active.*127\.0\.0\.1:9005.*0\.8 ms/]],
      [['presig', 'status'], [/w-ecdsa.*8.*10.*node-1, node-2, node-3, node-4.*8/]],
      [['presig', 'generate', '--count', '2'], [/made.*2/, /took.*1\.5 s/]],
      [['keys', 'status', 'w-ecdsa'], [/epoch.*0/, /held here.*yes/, /4 of node-1, node-2/]],
      [['keys', 'refresh', 'w-ecdsa'], [/epoch.*1/, /the old one is destroyed here/]],
      [['keys', 'agree', 'w-ecdsa', '--threshold', '2', '--nodes', 'node-1,node-3'], [/agreed to.*2 of node-1, node-3/]],
      [['keys', 'reshare', 'w-ecdsa', '--threshold', '2', '--nodes', 'node-1,node-3'], [/2 of node-1, node-3/, /old shares.*of epoch 0/]],
      [['keys', 'erase', 'w-ecdsa'], [/old shares.*none/]],
      [['dkg', 'status'], [/dkg.*completed/, /aux.*running.*safe primes 3 of 4/]],
      [['health'], [/node-1, version 0\.1\.0/, /4 of 4 connected/, /PostgreSQL.*yes/]],
      [['presig', 'list'], [/1{64}.*node-1, node-2, node-3, node-4[^]*2{64}/]],
      [['dkg', 'start', '--protocol', 'both', '--threshold', '4', '--total', '5'], [/cggmp24, 4 of 5[^]*p2wpkh[^]*frost, 4 of 5[^]*p2tr/]],
      [['wallet', 'create', '--address-type', 'p2wsh'], [/cggmp24, 4 of 5[^]*p2wsh, regtest/]],
      [['wallet', 'create', '--name', 'ops', '--protocol', 'frost', '--threshold', '3'], [/ops/, /frost, 3 of 5/]],
    ]; // prettier-ignore
    for (const [args, patterns] of commands) {
      const { exit, out } = await cli(args);
      expect([args, exit]).toEqual([args, 0]);
      for (const pattern of patterns) expect(out).toMatch(pattern);
      // eslint-disable-next-line no-control-regex -- not a terminal: no escape may be in it
      expect(out).not.toMatch(/[\u001b\u202e]/);
    }
  });

  it('colours are for terminals, by state; NO_COLOR and --no-color turn them off, and nothing colours JSON', async () => {
    const green = '\u001b[32mhealthy\u001b[0m';
    const status = ['cluster', 'status'];
    expect((await cli(status, { terminal: true })).out).toContain(green);
    expect((await cli(status, { env: { FORCE_COLOR: '1' } })).out).toContain(green);
    for (const run of [
      await cli(status, { terminal: true, env: { NO_COLOR: '1' } }),
      await cli(status, { terminal: true, env: { NO_COLOR: '1', FORCE_COLOR: '1' } }),
      await cli([...status, '--no-color'], { terminal: true }),
      await cli(status, { terminal: true, env: { TERM: 'dumb' } }),
      await cli([...status, '--json'], { terminal: true }),
      await cli(status),
    ]) {
      expect(run.out).toContain('healthy');
      expect(run.out).not.toContain('\u001b');
    }
    const failed = createFakeWallet({
      transaction: async () => ({ ...paymentOf('w', { recipients: [] }, 1), state: 'failed', error: 'x' }),
    });
    const other = await createHarness({ fake: failed });
    const env = { THRESHOLD_API_ENDPOINT: other.api.url, THRESHOLD_TOKEN: await other.token('viewer') };
    const { out } = await cli(['tx', 'status', 'a'], { terminal: true, env });
    await other.api.close();
    expect(out).toContain('\u001b[31mfailed\u001b[0m');
  });

  it('events are followed until the stream ends, as lines or as JSON lines', async () => {
    for (const flags of [[], ['--json']]) {
      const running = cli(['events', ...flags]);
      while (harness.fake.listeners() === 0) await sleep(5);
      const request = { recipients: [{ address: RECIPIENT, amount_sats: 5 }] };
      harness.fake.emit({ type: 'transaction', transaction: paymentOf('w-ecdsa', request, 3), previous: 'broadcasting' });
      harness.fake.emit({ type: 'peer', node_id: 'node-3\u001b[2J', status: 'dead' });
      await sleep(50);
      process.emit('SIGINT');
      const { exit, out } = await running;
      const [first, second] = out.trim().split('\n');
      expect(exit).toBe(0);
      if (flags.length === 0) {
        expect(first).toMatch(/payment 0{8}-.* broadcasting → broadcast 5 sats/);
        expect(second).toMatch(/node node-3\\u001b\[2J: dead/);
      } else {
        expect(JSON.parse(first!)).toMatchObject({ type: 'transaction', previous: 'broadcasting' });
        expect(JSON.parse(second!)).toMatchObject({ type: 'peer', status: 'dead' });
      }
      while (harness.fake.listeners() > 0) await sleep(5);
    }
  });
});

describe('send', () => {
  it('pays what was typed, from the wallet named, with a key of its own', async () => {
    const options = ['--wallet', 'w-frost', '--fee-rate', '2.5', '--metadata', 'rent', '--yes'];
    const { exit, document } = await json([...pay, '--btc', '0.00123456', ...options]);
    expect([exit, document.state, document.amount_sats]).toEqual([0, 'broadcast', 123_456]);
    const { walletId, request } = harness.fake.sends.at(-1)!;
    expect(walletId).toBe('w-frost');
    expect(request).toMatchObject({ recipients: [{ address: RECIPIENT, amount_sats: 123_456 }], fee_rate: 2.5, metadata: 'rent' });
    expect(request.idempotency_key).toMatch(/^[0-9a-f-]{36}$/);
    await cli([...pay, '--amount', '1000', '--yes', '--idempotency-key', 'k-1']);
    await cli([...pay, '--amount', '1000', '--yes', '--idempotency-key', 'k-1']);
    const conflict = await json([...pay, '--amount', '1001', '--yes', '--idempotency-key', 'k-1']);
    expect([conflict.exit, conflict.problem!.status]).toEqual([6, 409]);
  });

  it('on a terminal it shows the payment and pays only after a yes, from the wallet it showed', async () => {
    const before = harness.fake.sends.length;
    for (const answer of ['n\n', '\n', 'yess\n', '']) {
      const { exit, out, err } = await cli([...pay, '--amount', '250000'], { terminal: true, stdin: answer, env: { NO_COLOR: '1' } });
      expect([answer, exit, out]).toEqual([answer, 1, '']);
      expect(err).toMatch(new RegExp(`to .*${RECIPIENT}`));
      expect(err).toMatch(/from wallet.*w-ecdsa \(p2wpkh, regtest\)/);
      expect(err).toMatch(/amount.*0\.00250000 BTC {2}\(250 000 sats\)/);
      expect(err).toMatch(/fee.*estimate/);
      expect(err).toContain('Pay? [y/N]');
      expect(err).toContain('nothing was paid');
    }
    expect(harness.fake.sends.length).toBe(before);
    const yes = await cli([...pay, '--amount', '250000'], { terminal: true, stdin: 'y\n', env: { NO_COLOR: '1' } });
    expect([yes.exit, harness.fake.sends.length]).toEqual([0, before + 1]);
    expect(yes.out).toMatch(/state.*broadcast/);
    expect(harness.fake.sends.at(-1)!.walletId).toBe('w-ecdsa');
    const shown = /idempotency key.*?([0-9a-f-]{36})/.exec(yes.err)?.[1];
    expect(harness.fake.sends.at(-1)!.request.idempotency_key).toBe(shown);
  });

  it('without a terminal it wants --yes', async () => {
    const before = harness.fake.sends.length;
    const { exit, problem } = await json([...pay, '--amount', '1000'], { stdin: 'y\n' });
    expect([exit, problem!.field, problem!.remedy]).toEqual([2, '--yes', 'add --yes to pay without asking']);
    expect(harness.fake.sends.length).toBe(before);
  });

  it('a payment that ended without success exits 7 with its record on stderr', async () => {
    const fake = createFakeWallet({
      send: async (id, request) => ({ ...paymentOf(id, request, 1), state: 'rejected', error: 'node-2: fee over cap' }),
    });
    const other = await createHarness({ fake });
    const env = { THRESHOLD_API_ENDPOINT: other.api.url, THRESHOLD_TOKEN: await other.token('operator') };
    const { exit, out, problem } = await json([...pay, '--amount', '1', '--yes'], { env });
    await other.api.close();
    expect([exit, out, problem!.code]).toEqual([7, '', 'payment.rejected']);
    expect(problem!.transaction).toMatchObject({ state: 'rejected' });
  });

  it('a connection lost in the middle names the key that makes a repetition safe', async () => {
    const server = createServer((request) => request.socket.destroy()).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { exit, problem } = await json([...pay, '--amount', '1', '--yes', '--idempotency-key', 'k-9', '--api-endpoint', endpoint]);
    server.close();
    expect(exit).toBe(3);
    expect(problem!.remedy).toBe('repeat the same command with --idempotency-key k-9: it cannot pay twice');
  });

  it.each([
    ['--amount', '0.001', 'use --btc 0.001'],
    ['--amount', '0,5', 'use --btc 0.5'],
    ['--amount', '.5', 'use --btc 0.5'],
    ['--amount', '5.', 'use --btc 5 '],
    ['--amount', '1e5', 'digits only'],
    ['--amount', '0', 'at least one satoshi'],
    ['--amount', '00', 'at least one satoshi'],
    ['--amount', '0x10', 'digits only'],
    ['--amount', '1 000', 'digits only'],
    ['--amount', '2100000000000001', 'at most 21 million'],
    ['--btc', '0.123456789', 'at most eight decimals'],
    ['--btc', '0,001', 'decimal point'],
    ['--btc', '21000000.00000001', 'at most 21 million'],
    ['--btc', '0.00000000', 'at least one satoshi'],
    ['--btc', '.5', 'decimal point'],
  ])('%s %s is refused', async (option, value, remedy) => {
    const before = harness.fake.sends.length;
    const { exit, problem } = await json([...pay, option, value, '--yes']);
    expect([exit, problem!.field]).toEqual([2, option]);
    expect(problem!.remedy).toContain(remedy);
    expect(harness.fake.sends.length).toBe(before);
  });

  it('negative, missing and doubled amounts are refused', async () => {
    for (const args of [['--amount=-5'], [], ['--amount', '1', '--btc', '1']]) {
      const { exit, problem } = await json([...pay, ...args, '--yes']);
      expect([args, exit, problem!.remedy!.length > 10]).toEqual([args, 2, true]);
    }
  });

  it('bitcoins are converted digit by digit', async () => {
    for (const [text, sats] of [['0.00000001', 1], ['0.29', 29_000_000], ['1.1', 110_000_000], ['2', 200_000_000], ['20999999.99999999', 2_099_999_999_999_999]] as const) {
      await cli([...pay, '--btc', text, '--yes']);
      expect(harness.fake.sends.at(-1)!.request.recipients[0]!.amount_sats).toBe(sats);
    } // prettier-ignore
  });
});

describe('failures', () => {
  it('each kind has its exit code; stdout stays empty', async () => {
    const viewer = { THRESHOLD_TOKEN: await harness.token('viewer') };
    const cases: [string[], World, number, string][] = [
      [['wallet', 'balance', 'none'], {}, 5, 'wallet.unknown'],
      [['tx', 'status', 'none'], {}, 5, 'transaction.unknown'],
      [[...pay, '--amount', '1', '--yes'], { env: viewer }, 4, 'auth.role'],
      [['wallet', 'list', '--token', 'a.b.c'], {}, 4, 'auth.invalid'],
      [['wallet', 'list'], { bare: true, env: { THRESHOLD_API_ENDPOINT: harness.api.url } }, 4, 'auth.missing'],
      [[...pay, '--amount', '6000000', '--yes'], {}, 2, 'send.balance'],
      [['send', '--to', 'x', '--amount', '5', '--yes'], {}, 2, 'request.invalid_field'],
      [['wallet', 'list', '--api-endpoint', 'http://127.0.0.1:1'], {}, 3, 'unavailable.api'],
      [['wallet', 'list'], { bare: true }, 5, 'cli.no_endpoint'],
      [['wallet', 'list', '--api-endpoint', 'ftp://x'], {}, 2, 'cli.endpoint'],
      [['wallet', 'list', '--api-endpoint', 'nonsense'], {}, 2, 'cli.endpoint'],
      [['wallet', 'list', '--token-file', '/nonexistent'], {}, 2, 'cli.token_file'],
      [['wallet', 'balance', '../../etc'], {}, 2, 'cli.option'],
      [['wallet', 'create', '--protocol', 'gg20'], {}, 2, 'cli.option'],
      [['wallet', 'address', '--account', '7'], {}, 2, 'cli.option'],
      [['wallet', 'address', '--account', '2147483648'], {}, 2, 'cli.option'],
      [['wallet', 'create', '--threshold', '5', '--total-nodes', '3'], {}, 2, 'request.invalid_field'],
      [['tx', 'list', '--limit', '0'], {}, 2, 'cli.option'],
      [['tx', 'list', '--state', 'lost'], {}, 2, 'cli.option'],
      [['presig', 'generate', '--count', '1.5'], {}, 2, 'cli.option'],
      [['presig', 'generate', '--count', '51'], {}, 2, 'cli.option'],
      [['dkg', 'start', '--threshold', '1'], {}, 2, 'cli.option'],
      [['dkg', 'start', '--threshold', '4', '--total', '3'], {}, 2, 'request.invalid_field'],
      [['keys', 'reshare', 'w-ecdsa', '--threshold', '2', '--nodes', 'node-1,node-1'], {}, 2, 'cli.option'],
      [[...pay, '--amount', '5', '--fee-rate', '-1', '--yes'], {}, 2, 'cli.option'],
      [['wallet', 'bananas'], {}, 2, 'usage'],
      [['walet'], {}, 2, 'usage'],
      [['wallet', 'list', '--colour'], {}, 2, 'usage'],
      [['send', '--amount', '5', '--yes'], {}, 2, 'usage'],
      [['up', '--nodes', '3', '--threshold', '4'], {}, 2, 'up.threshold'],
      [['up', '--nodes', '1'], {}, 2, 'cli.option'],
      [['up', '--api-port', '65533'], {}, 2, 'up.port'],
      [['up', '--mesh-port', '70000'], {}, 2, 'cli.option'],
    ]; // prettier-ignore
    for (const [args, world, exit, code] of cases) {
      const run = await json(args, world);
      expect([args, run.exit, run.problem!.code, run.out]).toEqual([args, exit, code, '']);
      expect(run.problem!.detail.length).toBeGreaterThan(5);
      expect(run.problem!.remedy!.length).toBeGreaterThan(5);
    }
  });

  it('what the nodes do wrong exits 1, what is away 3', async () => {
    const { Fault, Unavailable, Defect } = await import('../base/errors.ts');
    for (const [error, exit] of [
      [new Fault([2], 'wrong share', { round: 'r', detail: '' }), 1],
      [new Unavailable('database', 'PostgreSQL is away', 'start it'), 3],
      [new Defect('odd'), 1],
    ] as const) {
      const fake = createFakeWallet({
        wallets: async () => {
          throw error;
        },
      });
      const other = await createHarness({ fake });
      const env = { THRESHOLD_API_ENDPOINT: other.api.url, THRESHOLD_TOKEN: await other.token('viewer') };
      expect((await cli(['wallet', 'list'], { env })).exit).toBe(exit);
      await other.api.close();
    }
  });

  it('people get one line of what, one of where and one of what to do', async () => {
    const { exit, out, err } = await cli([...pay, '--amount', '6000000', '--yes']);
    expect([exit, out]).toEqual([2, '']);
    expect(err).toMatch(
      /^error: the balance is 5000000 sats\n {2}field: {2}amount_sats\n {2}remedy: send less, or fund the wallet\n {2}trace: {2}[0-9a-f-]{36}\n$/m,
    );
    expect((await cli(['wallet', 'list'], { bare: true })).err).toContain('npm start');
  });

  it('a server that is no node of ours is named as such', async () => {
    const server = createServer((_request, response) => response.end('<html>\u001b[2J')).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { exit, problem } = await json(['health', '--api-endpoint', endpoint]);
    server.close();
    expect([exit, problem!.code]).toEqual([2, 'cli.endpoint']);
  });

  it('help and version are no errors; no command is', async () => {
    const help = await cli(['--help']);
    expect([help.exit, help.err]).toEqual([0, '']);
    for (const word of ['wallet', 'send', 'tx', 'votes', 'cluster', 'presig', 'dkg', 'up', 'node', 'completion', 'Exit codes']) {
      expect(help.out).toContain(word);
    }
    expect((await cli(['send', '--help'])).out).toContain('--btc <amount>');
    expect(await cli(['--version'])).toEqual({ exit: 0, out: '0.1.0\n', err: '' });
    expect((await cli([])).exit).toBe(2);
    expect((await cli(['completion', 'zsh'])).out).toContain('bashcompinit');
    expect((await cli(['completion', 'fish'])).exit).toBe(2);
  });
});

describe('connection', () => {
  it('when the first node of the local cluster is down, the next one that listens is asked', async () => {
    const other = join(folder, 'failover');
    await mkdir(join(other, 'cluster'), { recursive: true });
    await copyFile(join(folder, 'data/cluster/admin.token'), join(other, 'cluster/admin.token'));
    const client = (endpoints: string[]) =>
      writeFile(join(other, 'cluster/client.json'), JSON.stringify({ endpoint: endpoints[0], endpoints, token_file: 'admin.token' }));
    await client(['http://127.0.0.1:1', 'http://127.0.0.1:2', harness.api.url]);
    expect((await cli(['wallet', 'list'], { data: 'failover' })).exit).toBe(0);
    await client(['http://127.0.0.1:1', 'http://127.0.0.1:2']);
    expect((await cli(['wallet', 'list'], { data: 'failover' })).exit).toBe(3);
  });

  it('the token of the local cluster goes to no other endpoint', async () => {
    const seen: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.end('{}');
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await cli(['health', '--api-endpoint', endpoint]);
    await cli(['health'], { env: { THRESHOLD_API_ENDPOINT: endpoint } });
    await cli(['health'], { env: { THRESHOLD_API_ENDPOINT: endpoint, THRESHOLD_TOKEN: 'mine' } });
    server.close();
    expect(seen).toEqual([undefined, undefined, 'Bearer mine']);
    // The same endpoint by flag gets it.
    expect((await cli(['wallet', 'list', '--api-endpoint', `${harness.api.url}/`])).exit).toBe(0);
  });

  it('flag before environment before the local cluster', async () => {
    const dead = 'http://127.0.0.1:1';
    expect((await cli(['health'], { env: { THRESHOLD_API_ENDPOINT: dead } })).exit).toBe(3);
    expect((await cli(['health', '--api-endpoint', harness.api.url], { env: { THRESHOLD_API_ENDPOINT: dead } })).exit).toBe(0);
    const file = join(folder, 'viewer.token');
    await writeFile(file, `${await harness.token('viewer')}\n`);
    const generate = ['presig', 'generate', '--count', '1'];
    expect((await cli(generate)).exit).toBe(0);
    expect((await cli(generate, { env: { THRESHOLD_TOKEN_FILE: file } })).exit).toBe(4);
    expect((await cli([...generate, '--token-file', file], { env: { THRESHOLD_TOKEN: token } })).exit).toBe(4);
    expect((await cli([...generate, '--token', token], { env: { THRESHOLD_TOKEN_FILE: file } })).exit).toBe(0);
  });

  it('a damaged client file and a file that holds no token are refused, and never sent', async () => {
    const broken = await mkdtemp(join(folder, 'broken-'));
    await mkdir(join(broken, 'cluster'));
    await writeFile(join(broken, 'cluster/client.json'), '{"endpoint":');
    const io = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough(), env: {} };
    expect(await runCli(['health', '--data', broken], io)).toBe(2);
    expect(String(io.stderr.read())).toContain('is damaged');
    const key = join(folder, 'key.pem');
    await writeFile(key, harness.keys.privateKeyPem);
    const wrong = await json(['wallet', 'list', '--token-file', key]);
    expect([wrong.exit, wrong.problem!.code]).toEqual([2, 'cli.token_file']);
    expect(wrong.err).not.toContain('PRIVATE KEY');
  });
});

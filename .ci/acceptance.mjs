// Acceptance of a running product, from outside: second start on an existing data folder, payments checked by software that is not ours
// (OpenSSL for ECDSA, @noble/curves for BIP-340, bitcoinjs-lib for transactions), a new wallet of type P2WSH, payments over all nodes at once and after `kill -9` of a node, and
// addresses below the keys: the same at all nodes and in the descriptors, paid from by both protocols, and known to a node that was away when they were given out.
// Usage: node .ci/acceptance.mjs DATA_FOLDER (made by `npm start -- --once --data DATA_FOLDER`)
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHmac, createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as ecc from '@bitcoinerlab/secp256k1';
import { schnorr } from '@noble/curves/secp256k1.js';
import * as bitcoin from 'bitcoinjs-lib';

bitcoin.initEccLib(ecc);
const data = process.argv[2];
const main = new URL('../dist/host/cli/main.js', import.meta.url).pathname;

/** Runs the CLI and returns what it prints with --json. */
const cli = (...args) =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, '--data', data, '--json', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    child.stdout.on('data', (chunk) => (out += chunk));
    child.on('close', (code) =>
      code === 0 ? resolve(JSON.parse(out)) : reject(new Error(`${args.join(' ')}: exit code ${code}\n${out}`)),
    );
  });

const launcher = spawn(process.execPath, [main, 'up', '--data', data], { stdio: ['ignore', 'pipe', 'inherit'] });
let log = '';
launcher.stdout.on('data', (chunk) => {
  log += chunk;
  process.stdout.write(chunk);
});
const exited = new Promise((resolve) => launcher.on('close', resolve));
const until = async (what, seconds, condition) => {
  for (const end = Date.now() + seconds * 1000; ; await new Promise((r) => setTimeout(r, 200))) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    if (launcher.exitCode !== null) throw new Error(`${what}: the launcher ended with ${launcher.exitCode}`);
  }
};

const { chain_port: chainPort, nodes: members } = JSON.parse(readFileSync(join(data, 'cluster/cluster.json'), 'utf8'));
const endpoints = members.map(({ api_port: port }) => `http://127.0.0.1:${port}`);
const at = (endpoint) => ['--api-endpoint', endpoint, '--token-file', join(data, 'cluster/admin.token')];
const regtest = async (path, body) => {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  assert.ok((await fetch(`http://127.0.0.1:${chainPort}/regtest/${path}`, init)).ok);
};

/** Key and chain code of a text like tpub…, with its checksum checked. */
function extendedKey(text) {
  const letters = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
  const number = [...text].reduce((sum, letter) => sum * 58n + BigInt(letters.indexOf(letter)), 0n);
  const bytes = Buffer.from(number.toString(16).padStart(164, '0'), 'hex');
  assert.deepEqual(bytes.subarray(78), Buffer.from(bitcoin.crypto.hash256(bytes.subarray(0, 78))).subarray(0, 4), 'Base58 checksum');
  return { chainCode: bytes.subarray(13, 45), publicKey: bytes.subarray(45, 78) };
}

/** The address and key of a descriptor's index, by BIP-32 as written and bitcoinjs-lib's payments. */
function fromDescriptor(descriptor, index) {
  const [, kind, text, steps] = /^(wpkh|wsh\(pk|tr)\((\w+)\/([\d/]+)\/\*\)+#\w{8}$/.exec(descriptor);
  let { publicKey, chainCode } = extendedKey(text);
  for (const step of [...steps.split('/').map(Number), index]) {
    const number = Buffer.alloc(4);
    number.writeUInt32BE(step);
    const I = createHmac('sha512', chainCode).update(publicKey).update(number).digest();
    publicKey = Buffer.from(ecc.pointAddScalar(publicKey, I.subarray(0, 32), true));
    chainCode = I.subarray(32);
  }
  const type = { wpkh: 'p2wpkh', 'wsh(pk': 'p2wsh', tr: 'p2tr' }[kind];
  return { address: addressOf(type, publicKey), public_key: publicKey.toString('hex'), address_type: type };
}

const lockOf = (publicKey) => bitcoin.script.compile([publicKey, bitcoin.opcodes.OP_CHECKSIG]);
/** The address of a compressed key; of Taproot, of an internal key. */
function addressOf(type, publicKey) {
  const network = bitcoin.networks.regtest;
  if (type === 'p2wpkh') return bitcoin.payments.p2wpkh({ pubkey: publicKey, network }).address;
  if (type === 'p2wsh') return bitcoin.payments.p2wsh({ redeem: { output: lockOf(publicKey), network }, network }).address;
  return bitcoin.payments.p2tr({ internalPubkey: publicKey.subarray(1), network }).address;
}

/** Checks a confirmed payment with independent software; `from` is the wallet it spends, or several of its addresses with their keys. */
async function check(payment, from) {
  const owners = Array.isArray(from) ? from : [from];
  const type = owners[0].address_type;
  const esplora = async (path) => (await fetch(`http://127.0.0.1:${chainPort}${path}`)).text();
  const raw = (await esplora(`/tx/${payment.txid}/hex`)).trim();
  const tx = bitcoin.Transaction.fromHex(raw);
  assert.equal(tx.getId(), payment.txid, 'the txid is that of the transaction on the chain');
  assert.equal(raw, payment.raw, 'the record holds the transaction on the chain');
  const prevouts = await Promise.all(
    tx.ins.map(
      async ({ hash, index }) =>
        bitcoin.Transaction.fromHex((await esplora(`/tx/${Buffer.from(hash).reverse().toString('hex')}/hex`)).trim()).outs[index],
    ),
  );
  const spent = new Set();
  for (const [i, { script, value }] of prevouts.entries()) {
    const owner = owners.find(({ address }) =>
      Buffer.from(script).equals(bitcoin.address.toOutputScript(address, bitcoin.networks.regtest)),
    );
    assert.ok(owner, 'it spends coins of the wallet');
    spent.add(owner);
    const witness = tx.ins[i].witness;
    if (type !== 'p2tr') {
      const publicKey = Buffer.from(owner.public_key, 'hex');
      const [signature, shown] = witness;
      assert.equal(witness.length, 2);
      assert.deepEqual(Buffer.from(shown), Buffer.from(type === 'p2wsh' ? lockOf(publicKey) : publicKey));
      // What BIP-143 calls scriptCode.
      const code = type === 'p2wsh' ? Buffer.from(shown) : bitcoin.payments.p2pkh({ hash: script.subarray(2) }).output;
      assert.equal(signature.at(-1), bitcoin.Transaction.SIGHASH_ALL);
      const der = Buffer.from(signature.subarray(0, -1));
      const spki = createPublicKey({
        key: Buffer.concat([Buffer.from('3036301006072a8648ce3d020106052b8104000a032200', 'hex'), publicKey]),
        format: 'der',
        type: 'spki',
      });
      // OpenSSL hashes once with SHA-256; the sighash is a double hash, so it is given the inner one.
      const inner = innerSighash(tx, i, code, value);
      assert.deepEqual(
        Buffer.from(bitcoin.crypto.sha256(inner)),
        Buffer.from(tx.hashForWitnessV0(i, code, value, bitcoin.Transaction.SIGHASH_ALL)),
      );
      assert.ok(verify('sha256', inner, spki, der), 'OpenSSL accepts the ECDSA signature');
      der[der.length - 1] ^= 1;
      assert.ok(!verify('sha256', inner, spki, der), 'OpenSSL refuses an altered signature');
    } else {
      assert.equal(witness.length, 1);
      const digest = tx.hashForWitnessV1(
        i,
        prevouts.map((p) => p.script),
        prevouts.map((p) => p.value),
        bitcoin.Transaction.SIGHASH_DEFAULT,
      );
      assert.ok(schnorr.verify(witness[0], digest, script.subarray(2)), '@noble/curves accepts the BIP-340 signature');
    }
  }
  if (Array.isArray(from)) assert.equal(spent.size, owners.length, 'it spends from each of these addresses');
  console.log(
    `checked ${payment.txid}: ${type}, ${tx.ins.length} input(s) of ${spent.size} address(es), signed by ${payment.signers.join(' ')} (${payment.signing_mode})`,
  );
}

/** SHA-256 of the BIP-143 preimage, written out here independently of the product. */
function innerSighash(tx, index, scriptCode, value) {
  const u32 = (n) => Buffer.from(Uint32Array.of(n).buffer);
  const u64 = (n) => Buffer.from(BigUint64Array.of(BigInt(n)).buffer);
  const outpoint = ({ hash, index: vout }) => Buffer.concat([hash, u32(vout)]);
  const output = ({ script, value: sats }) => Buffer.concat([u64(sats), Buffer.of(script.length), script]);
  const twice = (b) => bitcoin.crypto.hash256(b);
  const preimage = Buffer.concat([
    Buffer.from(Int32Array.of(tx.version).buffer),
    twice(Buffer.concat(tx.ins.map(outpoint))),
    twice(Buffer.concat(tx.ins.map((input) => u32(input.sequence)))),
    outpoint(tx.ins[index]),
    Buffer.of(scriptCode.length),
    scriptCode,
    u64(value),
    u32(tx.ins[index].sequence),
    twice(Buffer.concat(tx.outs.map(output))),
    u32(tx.locktime),
    u32(bitcoin.Transaction.SIGHASH_ALL),
  ]);
  return bitcoin.crypto.sha256(preimage);
}

const confirmation = (sent) =>
  until('confirmation', 60, async () => {
    const tx = await cli('tx', 'status', sent.tx_id);
    return tx.state === 'confirmed' ? tx : undefined;
  });
/** What a command says at each of these nodes, which is the same. */
async function agreed(nodes, ...args) {
  const answers = await Promise.all(nodes.map((endpoint) => cli('wallet', ...args, ...at(endpoint))));
  for (const answer of answers) assert.deepEqual(answer, answers[0], `${args.join(' ')} is the same at all nodes`);
  return answers[0];
}

/** Two users with three addresses, each asked of another node; the same at `nodes`, and what the descriptor says. */
async function addressesOf(wallet, accounts, nodes) {
  const given = [];
  for (const [i, account] of accounts.entries()) {
    const { address, index } = await cli('wallet', 'address', wallet.wallet_id, '--new', '--account', account, ...at(nodes[i]));
    const { receive } = await agreed(nodes, 'export', wallet.wallet_id, '--account', account);
    const independent = fromDescriptor(receive, index);
    assert.equal(address, independent.address, 'the address is that of the descriptor');
    const known = await agreed(nodes, 'address', wallet.wallet_id, '--account', account, '--index', String(index));
    assert.equal(known.address, address);
    assert.equal(independent.address_type, wallet.address_type);
    given.push(independent);
  }
  const { receive } = await agreed(nodes, 'export', wallet.wallet_id, '--account', accounts[0]);
  const first20 = await Promise.all(
    Array.from({ length: 20 }, (_, i) => cli('wallet', 'address', wallet.wallet_id, '--account', accounts[0], '--index', String(i))),
  );
  for (const [i, { address }] of first20.entries()) assert.equal(address, fromDescriptor(receive, i).address, `descriptor address ${i}`);
  console.log(
    `addresses of ${wallet.address_type}: ${given.map(({ address }) => address).join(' ')}, as the descriptor says (0 to 19 too)`,
  );
  return given;
}

/** Ten payments at the same moment, two at each node, with ten coins to pay from: all are paid, each from other coins. */
async function tenAtOnce(wallet) {
  for (let i = 0; i < 10; i++) await regtest('fund', { address: wallet.address, amount_sats: 1_000_000 });
  const authorization = `Bearer ${readFileSync(join(data, 'cluster/admin.token'), 'utf8').trim()}`;
  const paid = await Promise.all(
    Array.from({ length: 10 }, async (_, i) => {
      const body = JSON.stringify({ recipient: 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080', amount_sats: 20_000 + i });
      const headers = { authorization, 'content-type': 'application/json', 'idempotency-key': `ten-at-once-${i}` };
      const url = `${endpoints[i % endpoints.length]}/api/v1/wallet/${wallet.wallet_id}/send`;
      const answer = await fetch(url, { method: 'POST', headers, body });
      assert.equal(answer.status, 201, await answer.clone().text());
      return answer.json();
    }),
  );
  const coins = paid.flatMap(({ raw }) =>
    bitcoin.Transaction.fromHex(raw).ins.map(({ hash, index }) => `${Buffer.from(hash).toString('hex')}:${index}`),
  );
  assert.equal(new Set(coins).size, coins.length, 'no coin is spent twice');
  console.log('ten payments at once over all nodes: ten paid');
}

try {
  const begin = Date.now();
  await until('second start', 120, () => log.includes('ready:'));
  console.log(`second start: ready after ${((Date.now() - begin) / 1000).toFixed(1)} s`);
  const { wallets } = await cli('wallet', 'list');
  const segwit = wallets.find((w) => w.address_type === 'p2wpkh');
  const taproot = wallets.find((w) => w.protocol === 'frost');
  const byId = new Map(wallets.map((w) => [w.wallet_id, w]));
  const { transactions } = await cli('tx', 'list');
  const confirmed = transactions.filter((tx) => tx.state === 'confirmed');
  assert.ok(
    confirmed.some((tx) => tx.wallet_id === segwit.wallet_id) && confirmed.some((tx) => tx.wallet_id === taproot.wallet_id),
    'both payments of the first start',
  );
  for (const tx of confirmed) await check(tx, byId.get(tx.wallet_id));

  // Key generation needs all nodes; the auxiliary information of the committee serves the new key. Nothing is presigned for it yet.
  const name = `scripts ${Date.now()}`;
  const made = await cli('wallet', 'create', '--address-type', 'p2wsh', '--name', name);
  assert.deepEqual([made.protocol, made.address_type], ['cggmp24', 'p2wsh']);
  assert.equal(made.address, addressOf('p2wsh', Buffer.from(made.public_key, 'hex')), 'the address is that of <key> OP_CHECKSIG');
  await agreed(endpoints, 'address', made.wallet_id);
  await agreed(endpoints, 'export', made.wallet_id, '--account', '7');
  const below = await cli('wallet', 'address', made.wallet_id, '--new', '--account', '7', ...at(endpoints[1]));
  const described = fromDescriptor((await cli('wallet', 'export', made.wallet_id, '--account', '7')).receive, below.index);
  assert.equal(below.address, described.address);
  for (const { address } of [made, below]) await regtest('fund', { address, amount_sats: 60_000 });
  await regtest('mine', { blocks: 1 });
  const outOf = ['--wallet', made.wallet_id, '--to', taproot.address, '--amount', '100000', '--yes'];
  const scripted = await confirmation(await cli('send', ...outOf, ...at(endpoints[3])));
  await check(scripted, [made, described]);
  const [change] = (await cli('wallet', 'utxos', made.wallet_id)).utxos;
  const { change: ofChange } = await cli('wallet', 'export', made.wallet_id, '--account', '7');
  assert.equal(change.address, fromDescriptor(ofChange, Number(change.path.split('/').at(-1))).address, 'the change is P2WSH too');

  await tenAtOnce(taproot);

  const pids = /pids ([\d ]+)/.exec(log)[1].trim().split(' ').map(Number);
  process.kill(pids[2], 'SIGKILL');
  console.log('kill -9 of node-3');
  for (const [from, to] of [
    [segwit, taproot],
    [taproot, segwit],
  ]) {
    const sent = await cli('send', '--wallet', from.wallet_id, '--to', to.address, '--amount', '100000', '--yes');
    const payment = await confirmation(sent);
    assert.ok(!payment.signers.includes('node-3'), 'the killed node did not sign');
    await check(payment, from);
  }

  // Coins larger than those of the wallet's own address, so that these are what is spent, and paid to somebody else.
  const alive = endpoints.toSpliced(2, 1);
  const stranger = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
  for (const from of [segwit, taproot]) {
    const given = await addressesOf(from, ['7', '7', '8'], alive);
    for (const { address } of given) await regtest('fund', { address, amount_sats: 100_000_000 });
    await regtest('mine', { blocks: 1 });
    const before = (await cli('wallet', 'utxos', from.wallet_id)).utxos;
    for (const { address } of given) assert.ok(before.some((coin) => coin.address === address && coin.path.startsWith('m/')));
    const payment = await confirmation(
      await cli('send', '--wallet', from.wallet_id, '--to', stranger, '--amount', '250000000', '--yes', ...at(alive[1])),
    );
    await check(payment, given);
    const fresh = (await cli('wallet', 'utxos', from.wallet_id)).utxos.filter(({ txid }) => txid === payment.txid);
    assert.equal(fresh.length, 1);
    assert.match(fresh[0].path, /^m\/[78]\/1\/\d+$/, 'the change is at a change address of one of the users');
  }
  const { nodes } = await cli('cluster', 'nodes');
  assert.equal(nodes.find((node) => node.node_id === 'node-3').status, 'dead', 'the killed node is shown as dead');
  const again = spawn(process.execPath, [main, 'node', 'start', '--config', join(data, 'node-3/node.toml')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  try {
    await until('node-3 to know the addresses', 60, async () => {
      const here = await cli('wallet', 'addresses', segwit.wallet_id, ...at(endpoints[2])).catch(() => undefined);
      return here?.total === (await cli('wallet', 'addresses', segwit.wallet_id)).total;
    });
    await agreed(endpoints, 'addresses', segwit.wallet_id, '--account', '7');
    console.log('node-3, started again, looks at the addresses that were given out while it was away');
  } finally {
    again.kill('SIGTERM');
    await new Promise((resolve) => again.on('close', resolve));
  }
  console.log('acceptance: all checks hold');
} finally {
  launcher.kill('SIGTERM');
  const code = await exited;
  assert.equal(code, 0, 'the launcher stops in order');
}

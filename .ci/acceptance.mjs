// Acceptance of a running product, from outside: second start on an existing data folder, payments checked by software that is not ours
// (OpenSSL for ECDSA, @noble/curves for BIP-340, bitcoinjs-lib for transactions), and payments after `kill -9` of a node.
// Usage: node .ci/acceptance.mjs DATA_FOLDER (made by `npm start -- --once --data DATA_FOLDER`)
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
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

/** Checks a confirmed payment with independent software; `from` is the wallet it spends. */
async function check(payment, from) {
  const client = JSON.parse(readFileSync(join(data, 'cluster/client.json'), 'utf8'));
  const cluster = JSON.parse(readFileSync(join(data, 'cluster/cluster.json'), 'utf8'));
  assert.ok(client.endpoint);
  const esplora = async (path) => (await fetch(`http://127.0.0.1:${cluster.chain_port}${path}`)).text();
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
  const own = bitcoin.address.toOutputScript(from.address, bitcoin.networks.regtest);
  for (const [i, { script, value }] of prevouts.entries()) {
    assert.deepEqual(Buffer.from(script), Buffer.from(own), 'it spends coins of the wallet');
    const witness = tx.ins[i].witness;
    if (from.address_type === 'p2wpkh') {
      const [signature, publicKey] = witness;
      assert.equal(Buffer.from(publicKey).toString('hex'), from.public_key);
      const p2pkh = bitcoin.payments.p2pkh({ hash: script.subarray(2) }).output;
      assert.equal(signature.at(-1), bitcoin.Transaction.SIGHASH_ALL);
      const der = Buffer.from(signature.subarray(0, -1));
      const spki = createPublicKey({
        key: Buffer.concat([Buffer.from('3036301006072a8648ce3d020106052b8104000a032200', 'hex'), publicKey]),
        format: 'der',
        type: 'spki',
      });
      // OpenSSL hashes once with SHA-256; the sighash is a double hash, so it is given the inner one.
      const inner = innerSighash(tx, i, p2pkh, value);
      assert.deepEqual(
        Buffer.from(bitcoin.crypto.sha256(inner)),
        Buffer.from(tx.hashForWitnessV0(i, p2pkh, value, bitcoin.Transaction.SIGHASH_ALL)),
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
  console.log(
    `checked ${payment.txid}: ${from.address_type}, ${tx.ins.length} input(s), signed by ${payment.signers.join(' ')} (${payment.signing_mode})`,
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

try {
  const begin = Date.now();
  await until('second start', 120, () => log.includes('ready:'));
  console.log(`second start: ready after ${((Date.now() - begin) / 1000).toFixed(1)} s`);
  const { wallets } = await cli('wallet', 'list');
  const segwit = wallets.find((w) => w.protocol === 'cggmp24');
  const taproot = wallets.find((w) => w.protocol === 'frost');
  const byId = new Map(wallets.map((w) => [w.wallet_id, w]));
  const { transactions } = await cli('tx', 'list');
  const confirmed = transactions.filter((tx) => tx.state === 'confirmed');
  assert.ok(
    confirmed.some((tx) => tx.wallet_id === segwit.wallet_id) && confirmed.some((tx) => tx.wallet_id === taproot.wallet_id),
    'both payments of the first start',
  );
  for (const tx of confirmed) await check(tx, byId.get(tx.wallet_id));

  const pids = /pids ([\d ]+)/.exec(log)[1].trim().split(' ').map(Number);
  process.kill(pids[2], 'SIGKILL');
  console.log('kill -9 of node-3');
  for (const [from, to] of [
    [segwit, taproot],
    [taproot, segwit],
  ]) {
    const sent = await cli('send', '--wallet', from.wallet_id, '--to', to.address, '--amount', '100000', '--yes');
    const payment = await until('confirmation', 60, async () => {
      const tx = await cli('tx', 'status', sent.tx_id);
      return tx.state === 'confirmed' ? tx : undefined;
    });
    assert.ok(!payment.signers.includes('node-3'), 'the killed node did not sign');
    await check(payment, from);
  }
  const { nodes } = await cli('cluster', 'nodes');
  assert.equal(nodes.find((node) => node.node_id === 'node-3').status, 'dead', 'the killed node is shown as dead');
  console.log('acceptance: all checks hold');
} finally {
  launcher.kill('SIGTERM');
  const code = await exited;
  assert.equal(code, 0, 'the launcher stops in order');
}

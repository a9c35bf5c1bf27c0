/**
 * The protocols, with all parties in one process over a network in memory, at production parameters. The figure is what one party costs: the
 * processor time of the whole process (protocol code, worker threads of the core, garbage collection) over the run, divided by the number of
 * parties. It counts no QUIC, no disk, no waiting. Parties are equal in these protocols, so the mean is any party's cost.
 *
 * The workers are shared, so tables of a fixed base are built once for all parties that use it and not once per party; a first run, which does
 * not count, has built them, as they would stand in every node after its first presignature.
 */
import { utf8 } from '../host/base/bytes.ts';
import { systemRandom as random } from '../host/base/random.ts';
import { auxInfo, bitcoinSighash, combine, partialSignature, presign, presignBatch, signingSessionId } from '../host/cggmp24/index.ts';
import { signInteractive } from '../host/cggmp24/sign-interactive.ts';
import { createCore, type Core } from '../host/core/index.ts';
import { instantiate } from '../host/core/instance.ts';
import { Machine } from '../host/core/machine.ts';
import { chooseKernel } from '../host/core/self-test.ts';
import { keygen as frostKeygen } from '../host/frost/keygen.ts';
import { sign as frostSign } from '../host/frost/sign.ts';
import { taprootSighash } from '../host/frost/sighash.ts';
import { productionParameters as parameters } from '../host/proofs/parameters.ts';
import { unit } from '../host/proofs/sampling.ts';
import { paillierKey } from '../host/proofs/testing/instances.ts';
import { memoryNetwork, values } from '../host/protocol/testing/network.ts';
import { ceremony, freshNonce, group, identitiesOf, KEY_ID, makeKey, primesOf } from './group.ts';
import { cpuMs, elapsedMs, sample } from './sampling.ts';
import type { RunOptions, Scenario } from './scenario.ts';
import { summarize, type Result } from './types.ts';

const UNIT = 'CPU ms';
/** Presignatures of one run. */
const BATCH = 10;
/** Samples. Of presigning, one is a batch. */
const COUNTS = {
  quick: { presign: 1, keygen: 5, aux: 0, frost: 20, interactive: 1, sign: 100 },
  full: { presign: 3, keygen: 20, aux: 3, frost: 100, interactive: 10, sign: 300 },
};
type Counts = (typeof COUNTS)['full'];

const AUX = 'aux.party';
const MODEXP = 'presign.modexp.4of5';

interface Part {
  /** Nothing for a smoke run: it takes too long. */
  readonly fullOnly?: true;
  readonly names: readonly string[];
  readonly measure: (core: Core, counts: Counts, options: RunOptions) => Promise<Result[]>;
}

/** Batches of fresh presignatures of the first t of n parties: CPU per party and presignature; what it is in exponentiations where asked. */
const presigning = (t: number, n: number): Part => {
  const name = `presign.party.${t}of${n}`;
  const inExponentiations = t === 4 && n === 5;
  return {
    names: inExponentiations ? [name, MODEXP] : [name],
    async measure(core, { presign: count }, options) {
      const { keys, aux } = await group(t, n);
      const signers = keys.slice(0, t).map(({ index }) => index);
      const make = async (batch: number) => {
        const binding = { signers, key: keys[0]!, aux: aux[0]!, parameters, nonce: freshNonce(), identities: identitiesOf(signers) };
        const network = memoryNetwork(t, signingSessionId({ protocol: 'presign', ...binding }));
        const inputs = (me: number) => ({ signers, key: keys[me]!, aux: aux[me]!, random, core, parameters, count: batch });
        values(await network.run((rounds, me) => presignBatch({ rounds, ...inputs(me) })));
      };
      await make(1); // compilers, tables
      const perParty = await sample(options, { count, warmUp: 0 }, async () => (await cpuMs(() => make(BATCH))) / (t * BATCH));
      const result = summarize(name, UNIT, perParty);
      if (!inExponentiations) return [result];
      const unitOfCost = await exponentiation(options, 10);
      return [result, { ...result, name: MODEXP, unit: 'modexp', p50: result.p50 / unitOfCost, p99: result.p99 / unitOfCost }];
    },
  };
};

/** CPU ms of one constant-time 3072-bit exponentiation modulo a 6144-bit number, one number at a time: median. */
async function exponentiation(options: RunOptions, count: number): Promise<number> {
  const machine = new Machine(instantiate(chooseKernel().module));
  const { n } = paillierKey(1536, 0);
  const [base, exponent] = [unit(random, n), unit(random, n) | (1n << 3071n)];
  const product = { n: n * n, terms: [{ base, exponent, bits: 3072 }], signed: false, secret: true, hidden: false };
  const perCall = await sample(options, { count: 3 * count }, () => cpuMs(() => machine.products([product])));
  return summarize('', '', perCall).p50;
}

const keygenCggmp24: Part = {
  names: ['keygen.cggmp24.4of5'],
  async measure(_, { keygen: count }, options) {
    const perParty = await sample(options, { count }, async () => (await cpuMs(() => makeKey(4, 5))) / 5);
    return [summarize('keygen.cggmp24.4of5', UNIT, perParty)];
  },
};

const makeFrostKey = async (t: number, n: number) =>
  values(await memoryNetwork(n, ceremony('keygen-frost', t, n)).run((rounds) => frostKeygen({ rounds, t, random, keyId: KEY_ID })));

const keygenFrost: Part = {
  names: ['keygen.frost.4of5'],
  async measure(_, { keygen: count }, options) {
    const perParty = await sample(options, { count }, async () => (await cpuMs(() => makeFrostKey(4, 5))) / 5);
    return [summarize('keygen.frost.4of5', UNIT, perParty)];
  },
};

/** Auxiliary information among five: every proof and check, with safe primes at hand. Searching those is seconds each, and luck. */
const aux: Part = {
  fullOnly: true,
  names: [AUX],
  async measure(core, { aux: count }, options) {
    const n = 5;
    const once = async () => {
      const sid = ceremony('aux-info', n, n);
      values(
        await memoryNetwork(n, sid).run((rounds, me) => {
          const stock = primesOf(me);
          return auxInfo({ rounds, primes: { next: () => Promise.resolve(stock.pop()!) }, random, core, parameters });
        }),
      );
    };
    // Nothing is warm in a ceremony that runs once per group.
    return [summarize(AUX, UNIT, await sample(options, { count, warmUp: 0 }, async () => (await cpuMs(once)) / n))];
  },
};

/** BIP-341 message of a key-path spend, SIGHASH_DEFAULT, one input: epoch, type, version … index; what the hashes are does not matter. */
const taprootMessage = taprootSighash(new Uint8Array(1 + 1 + 4 + 4 + 4 * 32 + 32 + 1 + 4));

const frostSigning: Part = {
  names: ['sign.frost.party.4of5'],
  async measure(_, { frost: count }, options) {
    const shares = await makeFrostKey(4, 5);
    const signers = [0, 1, 2, 3];
    const once = async () =>
      values(
        await memoryNetwork(4, ceremony('frost-sign', 4, 5)).run((rounds, me) =>
          frostSign({ rounds, signers, share: shares[me]!, message: taprootMessage, random }),
        ),
      );
    const perParty = await sample(options, { count, warmUp: 5 }, async () => (await cpuMs(once)) / signers.length);
    return [summarize('sign.frost.party.4of5', UNIT, perParty)];
  },
};

const message = bitcoinSighash(utf8('the preimage of a sighash'));

const interactiveSigning: Part = {
  names: ['sign.interactive.party.4of5'],
  async measure(core, { interactive: count }, options) {
    const { keys, aux: auxes } = await group(4, 5);
    const signers = [0, 1, 2, 3];
    const once = async () => {
      const session = { nonce: freshNonce(), identities: identitiesOf(signers) };
      const inputs = (me: number) => ({ key: keys[me]!, aux: auxes[me]!, parameters });
      const network = memoryNetwork(4, signingSessionId({ protocol: 'sign', signers, ...inputs(0), ...session, message }));
      values(await network.run((rounds, me) => signInteractive({ rounds, signers, ...inputs(me), random, core, session, message })));
    };
    const perParty = await sample(options, { count }, async () => (await cpuMs(once)) / signers.length);
    return [summarize('sign.interactive.party.4of5', UNIT, perParty)];
  },
};

/** What is left of signing when the presignature exists: the own share, and putting four together with all checks. Elapsed, one thread. */
const signing: Part = {
  names: ['sign.partial', 'sign.combine.4of5'],
  async measure(core, { sign: count }, options) {
    const { keys, aux: auxes } = await group(4, 5);
    const signers = [0, 1, 2, 3];
    const binding = { signers, key: keys[0]!, aux: auxes[0]!, parameters, nonce: freshNonce(), identities: identitiesOf(signers) };
    const presignatures = values(
      await memoryNetwork(4, signingSessionId({ protocol: 'presign', ...binding })).run((rounds, me) =>
        presign({ rounds, signers, key: keys[me]!, aux: auxes[me]!, random, core, parameters }),
      ),
    );
    // One message only, here as everywhere: a second one under the same presignature would give the key away.
    const partials = new Map(presignatures.map((own, position) => [position, partialSignature(own, message)]));
    const partial = await sample(options, { count, warmUp: 20 }, () => elapsedMs(() => partialSignature(presignatures[0]!, message)));
    const combined = await sample(options, { count, warmUp: 20 }, () => elapsedMs(() => combine(presignatures[0]!, message, partials)));
    return [summarize('sign.partial', 'ms', partial), summarize('sign.combine.4of5', 'ms', combined)];
  },
};

const PARTS: readonly Part[] = [
  presigning(2, 3),
  presigning(4, 5),
  keygenCggmp24,
  keygenFrost,
  aux,
  frostSigning,
  interactiveSigning,
  signing,
];

const partsOf = (quick: boolean): readonly Part[] => PARTS.filter(({ fullOnly }) => !quick || fullOnly !== true);

async function* run(options: RunOptions): AsyncGenerator<Result> {
  const { quick, wanted, progress } = options;
  const core = await createCore();
  try {
    for (const part of partsOf(quick).filter(({ names }) => names.some(wanted))) {
      progress(part.names[0]!);
      yield* await part.measure(core, quick ? COUNTS.quick : COUNTS.full, options);
    }
  } finally {
    await core.close();
  }
}

export const protocol: Scenario = { title: 'protocol', names: (quick) => partsOf(quick).flatMap(({ names }) => names), run };

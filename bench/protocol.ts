/**
 * The protocols, with all parties in one process over a network in memory, at production parameters. The figure is what one party costs: the
 * processor time of the whole process (protocol code, worker threads of the core, garbage collection) over the run, divided by the number of
 * parties. It counts no QUIC, no disk, no waiting. Parties are equal in these protocols, so the mean is any party's cost.
 *
 * The workers are shared, so tables of a fixed base are built once for all parties that use it and not once per party; a first run, which does
 * not count, has built them, as they would stand in every node after its first presignature.
 */
import { systemRandom as random } from '../host/base/random.ts';
import { auxInfo, combine, partialSignature, presign, presignBatch, signingSessionId } from '../host/cggmp24/index.ts';
import { signInteractive } from '../host/cggmp24/sign-interactive.ts';
import { createCore, type Core } from '../host/core/index.ts';
import { instantiate } from '../host/core/instance.ts';
import { Machine } from '../host/core/machine.ts';
import { chooseKernel } from '../host/core/self-test.ts';
import { keygen as frostKeygen } from '../host/frost/keygen.ts';
import { sign as frostSign } from '../host/frost/sign.ts';
import { productionParameters as parameters } from '../host/proofs/parameters.ts';
import { unit } from '../host/proofs/sampling.ts';
import { paillierKey } from '../host/proofs/testing/instances.ts';
import { memoryNetwork, values } from '../host/protocol/testing/network.ts';
import { Counter } from './gate/counting.ts';
import { ceremony, everybody, freshNonce, group, identitiesOf, KEY_ID, makeKey, primesOf } from './group.ts';
import { localCore } from './local-core.ts';
import { message, taprootMessage } from './messages.ts';
import { cpuMs, elapsedMs, sample } from './sampling.ts';
import type { RunOptions, Scenario } from './scenario.ts';
import { scaled, summarize, type Result } from './types.ts';

const UNIT = 'CPU ms';
/** Presignatures of one run. */
const BATCH = 10;
/** Samples. Of presigning, one is a batch. */
const COUNTS = {
  quick: { presign: 1, cost: 1, keygen: 5, aux: 0, frost: 20, interactive: 1, sign: 100 },
  full: { presign: 3, cost: 2, keygen: 20, aux: 3, frost: 100, interactive: 10, sign: 300 },
};
type Counts = (typeof COUNTS)['full'];

/** Groups whose presignatures are compared: 2 to 7 signers. */
const SIGNERS = [[2, 3], [3, 5], [4, 5], [5, 7], [7, 9]] as const; // prettier-ignore
/** t, n, presignatures of a run. */
const BATCHES = [2, 4].flatMap((t) => [1, 2, 5, 10, 20].map((batch) => [t, t + 1, batch] as const));

const AUX = 'aux.party';
const MODEXP = 'presign.modexp.4of5';

interface Part {
  /** Nothing for a smoke run: it takes too long. */
  readonly fullOnly?: true;
  readonly names: readonly string[];
  readonly measure: (core: Core, counts: Counts, options: RunOptions) => Promise<Result[]>;
}

/** One run of the first t of n parties that makes `batch` presignatures. Each party uses the core that it is given. */
async function presignOnce(t: number, n: number, batch: number, coreOf: (party: number) => Core): Promise<void> {
  const { keys, aux } = await group(t, n);
  const signers = everybody(t);
  const binding = { signers, key: keys[0]!, aux: aux[0]!, parameters, nonce: freshNonce(), identities: identitiesOf(signers) };
  const network = memoryNetwork(t, signingSessionId({ protocol: 'presign', ...binding }));
  const inputs = (me: number) => ({ signers, key: keys[me]!, aux: aux[me]!, random, core: coreOf(me), parameters, count: batch });
  values(await network.run((rounds, me) => presignBatch({ rounds, ...inputs(me) })));
}

/** CPU ms of one party and presignature. */
async function presignCost(core: Core, t: number, n: number, batch: number, count: number, options: RunOptions): Promise<number[]> {
  await presignOnce(t, n, 1, () => core); // compilers, tables
  return sample(options, { count, warmUp: 0 }, async () => (await cpuMs(() => presignOnce(t, n, batch, () => core))) / (t * batch));
}

/** Presignatures at batch ten; at 4-of-5 what that is in exponentiations, too. */
const presigning = (t: number, n: number): Part => {
  const name = `presign.party.${t}of${n}`;
  const inExponentiations = t === 4 && n === 5;
  return {
    names: inExponentiations ? [name, MODEXP] : [name],
    async measure(core, { presign: count }, options) {
      if (!inExponentiations) return [summarize(name, UNIT, await presignCost(core, t, n, BATCH, count, options))];
      // Before and after: work that other threads of this process still do would make the unit large and the figure small.
      const before = await exponentiation(options, 10);
      const result = summarize(name, UNIT, await presignCost(core, t, n, BATCH, count, options));
      return [result, scaled(MODEXP, 'modexp', result, 1 / Math.min(before, await exponentiation(options, 10)))];
    },
  };
};

/** Squarings and multiplications that one party's core is asked for, per presignature at batch ten. Exact, so one run is enough. */
const counted: Part = {
  fullOnly: true,
  names: ['presign.count.4of5'],
  async measure() {
    const counters = everybody(4).map(() => new Counter());
    const cores = counters.map(({ wrap }) => localCore(wrap));
    await presignOnce(4, 5, BATCH, (party) => cores[party]!);
    return [summarize('presign.count.4of5', 'products', [counters[0]!.products / BATCH])];
  },
};

/** Of the processor time of a presignature, what the arithmetic core takes; the rest is curve, hashes, encoding and signatures on messages. */
const share: Part = {
  names: ['presign.core.2of3'],
  async measure(_, { cost }, options) {
    let inside = 0;
    const core = localCore();
    const timed: Core = {
      kernel: core.kernel,
      // All of it happens within the call.
      run: (operations) => {
        const begin = process.cpuUsage();
        const values = core.run(operations);
        const { user, system } = process.cpuUsage(begin);
        inside += (user + system) / 1000;
        return values;
      },
    };
    const shares = await sample(options, { count: cost }, async () => {
      inside = 0;
      const all = await cpuMs(() => presignOnce(2, 3, 1, () => timed));
      return (100 * inside) / all;
    });
    return [summarize('presign.core.2of3', '%', shares)];
  },
};

/** One presignature at a time, against the number of signers. What a party does grows with its peers, t − 1. */
const bySigners: Part = {
  fullOnly: true,
  names: SIGNERS.map(([t, n]) => `presign.signers.${t}of${n}`),
  async measure(core, { cost }, options) {
    const results: Result[] = [];
    for (const [t, n] of SIGNERS) {
      const name = `presign.signers.${t}of${n}`;
      if (options.wanted(name)) results.push(summarize(name, UNIT, await presignCost(core, t, n, 1, cost, options)));
    }
    return results;
  },
};

/** Against the number of presignatures that a run makes. */
const byBatch: Part = {
  fullOnly: true,
  names: BATCHES.map(([t, n, batch]) => `presign.batch.${t}of${n}.${batch}`),
  async measure(core, { cost }, options) {
    const results: Result[] = [];
    for (const [t, n, batch] of BATCHES) {
      const name = `presign.batch.${t}of${n}.${batch}`;
      if (options.wanted(name)) results.push(summarize(name, UNIT, await presignCost(core, t, n, batch, batch > 5 ? 1 : cost, options)));
    }
    return results;
  },
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
  share,
  counted,
  bySigners,
  byBatch,
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

export const protocol: Scenario = {
  title: 'protocol',
  fullOnly: 'auxiliary information among five, and runs with many signers or large batches, take a minute or more each',
  names: (quick) => partsOf(quick).flatMap(({ names }) => names),
  run,
};

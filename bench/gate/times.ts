/**
 * What the gate times: the kernel, the operations of the core, each proof, and whole protocol runs, all on one thread, so that the processor time of
 * the process is theirs alone. Inputs are fixed where their values matter to the time.
 */
import { combine, partialSignature, presign, signingSessionId, type Presignature } from '../../host/cggmp24/index.ts';
import { instantiate } from '../../host/core/instance.ts';
import { Machine, type Product } from '../../host/core/machine.ts';
import { chooseKernel } from '../../host/core/self-test.ts';
import { commit, decrypt, encrypt, modN, power, powerPublic, type Core } from '../../host/core/types.ts';
import { keygen as frostKeygen } from '../../host/frost/keygen.ts';
import { sign as frostSign } from '../../host/frost/sign.ts';
import { below, systemRandom as random } from '../../host/base/random.ts';
import { productionParameters as parameters } from '../../host/proofs/parameters.ts';
import { paillierKey, publicPart, publicSetup, ringPedersenKey, seeded } from '../../host/proofs/testing/instances.ts';
import { memoryNetwork, values } from '../../host/protocol/testing/network.ts';
import { ceremony, dealAux, everybody, freshNonce, identitiesOf, KEY_ID, makeKey } from '../group.ts';
import { multiplications } from '../kernels.ts';
import { localCore } from '../local-core.ts';
import { message, taprootMessage } from '../messages.ts';
import { cases, PROOFS } from '../proofs.ts';
import type { TimeProbe } from './contract.ts';

/** Made when first used, and then kept. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
const core = once(() => localCore());
const machine = once(() => new Machine(instantiate(chooseKernel().module)));

const kernel: TimeProbe[] = (
  [
    ['modmul', 1536],
    ['modmul', 3072],
    ['modmul', 6144],
    ['modsqr', 3072],
    ['modsqr', 6144],
  ] as const
).flatMap(([what, bits]) =>
  ([1, 2] as const).map((lanes) => ({
    name: `kernel.${what}.${bits}.${lanes === 1 ? 'single' : 'pair'}`,
    work: '4e10/bits² times',
    quick: true,
    prepare: () => Promise.resolve(multiplications(chooseKernel().module, bits, what)[lanes - 1]!.work),
  })),
);

/** One exponentiation with a secret exponent in each lane. */
function exponentiation(modulusBits: number, exponentBits: number, lanes: 1 | 2, quick: boolean): TimeProbe {
  return {
    name: `kernel.modexp.${modulusBits}x${exponentBits}.${lanes === 1 ? 'single' : 'pair'}`,
    work: 'one call, secret exponents',
    quick,
    prepare: () => {
      const source = seeded(`${modulusBits}x${exponentBits}`);
      const lane = (): Product => ({
        n: below(source, 1n << BigInt(modulusBits - 1)) | (1n << BigInt(modulusBits - 1)) | 1n,
        terms: [
          { base: below(source, 1n << BigInt(modulusBits - 1)), exponent: below(source, 1n << BigInt(exponentBits)), bits: exponentBits },
        ],
        signed: false,
        secret: true,
        hidden: false,
      });
      const products: [Product] | [Product, Product] = lanes === 1 ? [lane()] : [lane(), lane()];
      return Promise.resolve(() => machine().products(products));
    },
  };
}

/** Operations of the core on a peer's moduli and on the own ones. */
function operation(
  name: string,
  work: string,
  times: number,
  make: (number: (bits: number) => bigint) => Parameters<Core['run']>[0],
): TimeProbe {
  return {
    name: `core.${name}`,
    work: `${work}, ${times} times`,
    quick: true,
    prepare: () => {
      const source = seeded(name);
      const operations = make((bits) => below(source, 1n << BigInt(bits)));
      return Promise.resolve(async () => {
        for (let i = 0; i < times; i++) await core().run(operations);
      });
    },
  };
}
const own = once(() => paillierKey(1536, 0));
const setup = once(() => publicSetup(ringPedersenKey(1536, 2)));
const operations: TimeProbe[] = [
  operation('encrypt', 'with a key of another party', 1, (number) => [encrypt(publicPart(own()), number(256), number(3000))]),
  operation('encrypt-own', 'with the own key', 1, (number) => [encrypt(own(), number(256), number(3000))]),
  operation('decrypt', 'with the own key', 1, (number) => [decrypt(own(), number(6000))]),
  operation('commit', 's^x·t^y from tables, x 768 and y 3840 bits', 4, (number) => [commit(setup(), number(768), number(3840))]),
  operation('power-public', 'sliding windows, 3072/3072 bits', 1, (number) => [
    powerPublic(modN(publicPart(own())), [number(3000), number(3072)]),
  ]),
  operation('power-signed', 'one inversion and an exponent of 256 bits modulo 3072', 4, (number) => [
    power(modN(publicPart(own())), [number(3000), -number(256)]),
  ]),
];

/** Proofs that a short run has: those of every presignature. */
const EVERYDAY: readonly string[] = ['enc-elg', 'aff-g', 'elog', 'sch'];
const proofCases = once(() => cases(core()));
const proofs: TimeProbe[] = PROOFS.flatMap((name) =>
  (['prove', 'verify'] as const).map((side) => ({
    name: `proof.${name}.${side}`,
    work: 'production parameters',
    quick: EVERYDAY.includes(name),
    prepare: async () => {
      const found = (await proofCases()).find((candidate) => candidate.name === name)!;
      await found.prove();
      return async () => {
        for (let i = 0; i < found.times; i++) await found[side]();
      };
    },
  })),
);

const SIGNERS = [0, 1];
const group = once(async () => ({ keys: await makeKey(2, 3), aux: dealAux(3) }));
async function presignatures(): Promise<Presignature[]> {
  const { keys, aux } = await group();
  const binding = { signers: SIGNERS, key: keys[0]!, aux: aux[0]!, parameters, nonce: freshNonce(), identities: identitiesOf(SIGNERS) };
  const network = memoryNetwork(2, signingSessionId({ protocol: 'presign', ...binding }));
  return values(
    await network.run((rounds, me) =>
      presign({ rounds, signers: SIGNERS, key: keys[me]!, aux: aux[me]!, random, core: core(), parameters }),
    ),
  );
}
const COMBINATIONS = 5;

const protocols: TimeProbe[] = [
  { name: 'presign.2of3', work: 'all rounds of both signers', quick: true, prepare: () => Promise.resolve(presignatures) },
  {
    name: 'sign.combine.2of3',
    work: `${COMBINATIONS} times`,
    quick: true,
    prepare: async () => {
      const made = await presignatures();
      // One message only, here as everywhere: a second one under the same presignature would give the key away.
      const partials = new Map(made.map((each, position) => [position, partialSignature(each, message)]));
      return () => {
        for (let i = 0; i < COMBINATIONS; i++) combine(made[0]!, message, partials);
      };
    },
  },
  {
    name: 'sign.frost.2of3',
    work: 'all rounds of both signers',
    quick: true,
    prepare: async () => {
      const keygen = await memoryNetwork(3, ceremony('keygen-frost', 2, 3)).run((rounds) =>
        frostKeygen({ rounds, t: 2, random, keyId: KEY_ID }),
      );
      const shares = values(keygen);
      return async () =>
        values(
          await memoryNetwork(2, ceremony('frost-sign', 2, 3)).run((rounds, me) =>
            frostSign({ rounds, signers: everybody(2), share: shares[me]!, message: taprootMessage, random }),
          ),
        );
    },
  },
  {
    name: 'keygen.cggmp24.2of3',
    work: 'all rounds of the three parties',
    quick: false,
    prepare: () => Promise.resolve(() => makeKey(2, 3)),
  },
];

export const timeProbes: readonly TimeProbe[] = [
  ...kernel,
  exponentiation(3072, 3072, 1, true),
  exponentiation(3072, 3072, 2, true),
  exponentiation(6144, 3072, 1, true),
  exponentiation(6144, 3072, 2, false),
  ...operations,
  ...proofs,
  ...protocols,
];

/**
 * For tests only: one honest run of every protocol with fixed randomness, and all that was said in it. The known answers of whole protocols, the
 * seeds of the fuzzer and the fixtures of the stored formats are made from these runs, so a new protocol is added here once.
 */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { equalBytes, fromHex, utf8 } from '../base/bytes.ts';
import type { Random } from '../base/random.ts';
import {
  auxInfo,
  bitcoinSighash,
  keygen,
  presignBatch,
  sessionId,
  signingSessionId,
  signInteractive,
  type AuxInfo,
  type KeyShare,
  type Presignature,
  type Signature,
} from '../cggmp24/index.ts';
import type { Core } from '../core/types.ts';
import * as frostKeygen from '../frost/keygen.ts';
import type { FrostShare } from '../frost/share.ts';
import * as frostSign from '../frost/sign.ts';
import { taprootSighash } from '../frost/sighash.ts';
import type { Parameters } from '../proofs/parameters.ts';
import { safePrime, seeded } from '../proofs/testing/instances.ts';
import { memoryNetwork, values, type Override } from '../protocol/testing/network.ts';
import type { Rounds } from '../protocol/rounds.ts';
import { sha256, Transcript } from '../protocol/transcript.ts';
import { participants, runId, type Plan, type Ticket } from '../resharing/plan.ts';
import { reshare } from '../resharing/reshare.ts';
import { ofEcdsa } from '../resharing/shared-key.ts';
import { approvalMessage, planQuorum, type Certificate, type Statement } from '../resharing/statements.ts';

/** What one party said to another in one round, without the signature. */
export interface Said {
  readonly round: string;
  readonly from: number;
  readonly to: number;
  readonly payload: Uint8Array;
}

export interface Run<T> {
  /** Ordered by round name, author and receiver: what the parties said, not when. */
  readonly said: readonly Said[];
  /** By index of the run. */
  readonly outputs: readonly T[];
}

/** Runs `party` as all n parties, each with a generator of its own; `also` changes what is sent. Without it every party must succeed. */
export async function record<T>(
  name: string,
  n: number,
  sid: Uint8Array,
  party: (rounds: Rounds, random: Random) => Promise<T>,
  also?: Override,
): Promise<Run<T>> {
  const said: Said[] = [];
  const override: Override = (from, to, round, sent) => {
    const payload = also === undefined ? sent : also(from, to, round, sent);
    if (payload !== undefined) said.push({ round, from, to, payload });
    return payload;
  };
  const results = await memoryNetwork(n, sid, { override }).run((rounds, me) => party(rounds, seeded(`${name}/${me}`)));
  said.sort((a, b) => (a.round < b.round ? -1 : a.round > b.round ? 1 : a.from - b.from || a.to - b.to));
  return { said, outputs: also === undefined ? values(results) : [] };
}

/** One hash of everything that was said. */
export const hashOf = (said: readonly Said[]): Uint8Array =>
  new Transcript('recorded-run/v1')
    .list(said, (hash, { round, from, to, payload }) => void hash.text(round).u32(from).u32(to).bytes(payload))
    .digest();

const identity = (index: number): Uint8Array => sha256(utf8(`identity ${index}`));
const nonceOf = (name: string): Uint8Array => sha256(utf8(`nonce ${name}`)).slice(0, 16);
const PARTIES = [0, 1, 2];
const T = 2;
export const KEY_ID = 'a recorded key';

/** The message of all recorded signatures. */
export const PREIMAGE = utf8('the preimage of a sighash');
export const MESSAGE = bitcoinSighash(PREIMAGE);
/** A well-formed Taproot signature message (epoch 0, SIGHASH_DEFAULT, key path), otherwise zeros. */
export const TAPROOT_PREIMAGE = new Uint8Array(175);

export const keygenRun = (parameters: Parameters, also?: Override): Promise<Run<KeyShare>> => {
  const identities = PARTIES.map(identity);
  const sid = sessionId({ protocol: 'keygen', parameters, nonce: nonceOf('keygen'), identities, t: T, n: 3, keyId: KEY_ID });
  return record('keygen', 3, sid, (rounds, random) => keygen({ rounds, t: T, random, keyId: KEY_ID }), also);
};

export const auxRun = (parameters: Parameters, core: Core): Promise<Run<AuxInfo>> => {
  const sid = sessionId({ protocol: 'aux-info', parameters, nonce: nonceOf('aux'), identities: PARTIES.map(identity), t: T, n: 3 });
  return record('aux', 3, sid, (rounds, random) => {
    let taken = 4 * rounds.me;
    const primes = { next: async () => safePrime(parameters.primeBits as 576 | 1024 | 1536, taken++) };
    return auxInfo({ rounds, primes, random, core, parameters });
  });
};

export interface Group {
  readonly keys: readonly KeyShare[];
  readonly aux: readonly AuxInfo[];
  readonly parameters: Parameters;
  readonly core: Core;
}

export const presignRun = (
  { keys, aux, parameters, core }: Group,
  signers: readonly number[],
  count: number,
): Promise<Run<readonly Presignature[]>> => {
  const [key, own] = [keys[signers[0]!]!, aux[signers[0]!]!];
  const identities = signers.map(identity);
  const sid = signingSessionId({ protocol: 'presign', signers, key, aux: own, parameters, nonce: nonceOf('presign'), identities });
  return record('presign', signers.length, sid, (rounds, random) => {
    const index = signers[rounds.me]!;
    return presignBatch({ rounds, signers, key: keys[index]!, aux: aux[index]!, random, core, parameters, count });
  });
};

export const signRun = ({ keys, aux, parameters, core }: Group, signers: readonly number[]): Promise<Run<Signature>> => {
  const session = { nonce: nonceOf('sign'), identities: signers.map(identity) };
  const [key, own] = [keys[signers[0]!]!, aux[signers[0]!]!];
  const sid = signingSessionId({ protocol: 'sign', signers, key, aux: own, parameters, ...session, message: MESSAGE });
  return record('sign', signers.length, sid, (rounds, random) => {
    const index = signers[rounds.me]!;
    return signInteractive({ rounds, signers, key: keys[index]!, aux: aux[index]!, random, core, parameters, session, message: MESSAGE });
  });
};

export const frostKeygenRun = (also?: Override): Promise<Run<FrostShare>> =>
  record(
    'frost-keygen',
    3,
    sha256(utf8('frost keygen')),
    (rounds, random) => frostKeygen.keygen({ rounds, t: T, random, keyId: KEY_ID }),
    also,
  );

export const frostSignRun = (shares: readonly FrostShare[], signers: readonly number[]): Promise<Run<Uint8Array>> => {
  const message = taprootSighash(TAPROOT_PREIMAGE);
  return record('frost-sign', signers.length, sha256(utf8('frost sign')), (rounds, random) =>
    frostSign.sign({ rounds, signers, share: shares[signers[rounds.me]!]!, message, random }),
  );
};

/** PKCS #8 of an Ed25519 key, up to its 32 bytes. */
const PKCS8_HEAD = fromHex('302e020100300506032b657004220420');
/** The same key for the same number: worthless outside tests. */
function fixedIdentity(index: number) {
  const secret = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, sha256(utf8(`node ${index}`))]), format: 'der', type: 'pkcs8' });
  const publicKey = new Uint8Array(createPublicKey(secret).export({ format: 'der', type: 'spki' }).subarray(-32));
  return { publicKey, sign: (message: Uint8Array) => new Uint8Array(sign(null, message, secret)) };
}

export interface ReshareRun extends Run<Certificate> {
  readonly ticket: Ticket;
  readonly approvals: readonly Statement[];
}

/** Shares 0 and 1 of a 2-of-3 key are handed to nodes 1, 2 and 3: one that leaves, two that stay (one without sharing), one that joins. */
export async function reshareRun(keys: readonly KeyShare[], parameters: Parameters): Promise<ReshareRun> {
  const nodes = [0, 1, 2, 3].map(fixedIdentity);
  const keysOf = (indices: readonly number[]) => indices.map((index) => nodes[index]!.publicKey);
  const { keyId, publicKey, chainCode, epoch, t, X } = keys[0]!;
  const plan: Plan = {
    kind: 'reshare', keyId, scheme: 'cggmp24', publicKey, chainCode, internal: undefined, epoch, nextEpoch: epoch + 1, t, X,
    oldMembers: keysOf(PARTIES), sharers: [0, 1], nextT: T, newMembers: keysOf([1, 2, 3]), auxHash: sha256(utf8('auxiliary information')),
  }; // prettier-ignore
  const ticket: Ticket = { plan, nonce: nonceOf('reshare') };
  const sid = runId(ticket, parameters);
  const approvals = Array.from({ length: planQuorum(keys.length) }, (_, index) => ({
    index,
    signature: nodes[index]!.sign(approvalMessage(sid, ticket)),
  }));
  const parties = participants(plan);
  const run = await record('reshare', parties.length, sid, (rounds, random) => {
    const index = nodes.findIndex(({ publicKey: key }) => equalBytes(key, parties[rounds.me]!));
    const own = keys[index];
    return reshare({
      rounds, ticket, approvals, publicKey, parameters, random, sign: nodes[index]!.sign, prepared: () => Promise.resolve(),
      ...(own !== undefined && { own: { share: ofEcdsa(own), members: keysOf(PARTIES) } }),
    }); // prettier-ignore
  });
  return { ...run, ticket, approvals };
}

/** Attempts to prove something against a party that kept to the protocol, with everything that an accuser can choose. None may succeed. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decode, encode } from '../base/codec.ts';
import { presignRounds } from '../cggmp24/presign-messages.ts';
import { makeGroup, type Group } from '../cggmp24/testing/parties.ts';
import { createCore } from '../core/index.ts';
import { G } from '../curve/secp256k1.ts';
import { commitRound, commitTo, confirmRound, openRound } from '../frost/keygen.ts';
import { provePossession } from '../frost/possession.ts';
import { nonceRound, signatureShareRound } from '../frost/sign.ts';
import { complaintRound, EVERYBODY } from '../protocol/rounds.ts';
import { sessionRecord } from '../cggmp24/session.ts';
import { tamper, values, type Override } from '../protocol/testing/network.ts';
import { Case } from './case.ts';
import { LogExhibits } from './exhibits.ts';
import { evidenceFile, type EvidenceFile } from './format.ts';
import { buildEvidence, verifyEvidence } from './index.ts';
import { demandProof, judge, readEvidence } from './verify.ts';
import { systemRandom as random } from '../base/random.ts';
import {
  expectProven,
  honestFaults,
  LIAR,
  parameters,
  parametersOf,
  runFrostKeygen,
  runFrostSigning,
  runKeygen,
  runOf,
  runSigning,
  type Run,
} from './testing/runs.ts';

const core = await createCore({ threads: 2 });
const options = { core, parametersOf };
let group: Group;
let presigning: Run;
let signing: Run;
let keygen: Run;
let frost: Run;
beforeAll(async () => {
  group = await makeGroup(3, 3, parameters, core);
  [presigning, signing, keygen, frost] = await Promise.all([
    runSigning(group, 'presign', { liars: [] }),
    runSigning(group, 'sign', { liars: [] }),
    runKeygen(core, { liars: [] }),
    runFrostSigning(core, { liars: [] }),
  ]);
  for (const run of [presigning, signing, keygen, frost]) values(run.results);
});
afterAll(() => core.close());

const messages = presignRounds(parameters, 3, 1);
const ACCUSED = 1;
type Claim = { check: string; round: string; to?: number };
const encK: Claim = { check: 'enc-K', round: messages.encryptedProofs.name, to: 0 };
const affX: Claim = { check: 'aff-x', round: messages.productProofs.name, to: 0 };
const elogDelta: Claim = { check: 'elog-Delta', round: messages.delta.name };

/** The file that party 0 would make of an honest message of party 1, if there were no judge in between. */
async function accuse(run: Run, { check, round, to }: Claim): Promise<EvidenceFile> {
  const record = sessionRecord(run.session.binding);
  const { signers = [], publicShares = [], aux = [], digest = new Uint8Array() } = run.session;
  const head = {
    session: { ...record, identities: [...record.identities], path: [...record.path] },
    facts: {
      signers: [...signers],
      publicShares: [...publicShares],
      aux: [...aux],
      digest: check === 'signature-share' ? digest : new Uint8Array(),
    },
    claim: { accused: ACCUSED, check, round, to: to ?? EVERYBODY },
  };
  const exhibits = new LogExhibits(run.parties[0]!.log, ACCUSED, run.parties.length);
  expect(await judge(new Case(head.session, head.facts, head.claim, { core, random, parameters }, exhibits), options)).toBeUndefined();
  return { ...head, ...exhibits.taken() };
}
const verdictOf = (file: EvidenceFile) => verifyEvidence(encode(evidenceFile, file), options);

describe('what an honest party sent proves nothing against it', () => {
  const of = { presigning: () => presigning, signing: () => signing, keygen: () => keygen, frost: () => frost };
  test.each<[keyof typeof of, Claim]>([
    ['presigning', encK],
    ['presigning', { ...encK, check: 'enc-G' }],
    ['presigning', { check: 'elog-Gamma', round: messages.products.name }],
    ['presigning', { check: 'D, F, D̂, F̂', round: messages.products.name }],
    ['presigning', { ...affX, check: 'aff-gamma' }],
    ['presigning', affX],
    ['presigning', elogDelta],
    ['presigning', { check: 'malformed', round: messages.products.name }],
    ['presigning', { check: 'malformed', round: messages.productProofs.name, to: 0 }],
    ['presigning', { check: 'malformed', round: `${messages.products.name}/echo` }],
    ['signing', { check: 'partial', round: 'sign/partial' }],
    ['keygen', { check: 'opening', round: 'keygen/open' }],
    ['keygen', { check: 'share', round: 'keygen/share', to: 0 }],
    ['keygen', { check: 'complaint', round: 'keygen/proof' }],
    ['keygen', { check: 'sch-dkg', round: 'keygen/proof' }],
    ['keygen', { check: 'confirmation', round: 'keygen/confirm' }],
    ['frost', { check: 'signature-share', round: signatureShareRound.name }],
  ])('%s: $check', async (which, claim) => {
    const run = of[which]();
    expect(await verdictOf(await accuse(run, claim))).toMatchObject({ verdict: 'not-proven', accused: ACCUSED, check: claim.check });
    expect(await buildEvidence({ accused: ACCUSED, ...claim }, run.parties[0]!, run.session, options)).toBeUndefined();
  });

  test.each(['equivocation', 'echo', 'false-complaint', 'no such check', 'toString'])('%s: there is nothing to show', async (check) => {
    const claim = { accused: ACCUSED, check, round: messages.delta.name };
    expect(await buildEvidence(claim, presigning.parties[0]!, presigning.session, options)).toBeUndefined();
  });
});

describe('an accuser who changes what the accused’s message is judged by shows nothing', () => {
  const malformed = async (file: EvidenceFile) => expect(await verdictOf(file)).toMatchObject({ verdict: 'malformed' });
  const edited = async (run: Run, claim: Claim, edit: (file: EvidenceFile) => EvidenceFile) => malformed(edit(await accuse(run, claim)));

  test('other public shares of the same key', async () => {
    await edited(presigning, affX, (file) => {
      const [first, second, ...rest] = file.facts.publicShares;
      return { ...file, facts: { ...file.facts, publicShares: [first!.add(G), second!.subtract(G), ...rest] } };
    });
  });
  test('other auxiliary information, and that of another party in its place', async () => {
    const [a, b, c] = group.aux[0]!.parties;
    for (const aux of [[b!, a!, c!], [a!, b!], []]) await edited(presigning, encK, (file) => ({ ...file, facts: { ...file.facts, aux } })); // prettier-ignore
  });
  test('other signers', () => edited(presigning, affX, (file) => ({ ...file, facts: { ...file.facts, signers: [1, 0, 2] } })));
  test.each([
    ['the number of presignatures', { count: 2 }],
    ['the protocol', { protocol: 'sign' }],
    ['the epoch', { epoch: 1 }],
    ['the message', { message: new Uint8Array(32) }],
    ['the nonce', { nonce: new Uint8Array(16) }],
    ['t', { t: 2 }],
    ['the path', { path: [1] }],
  ])('another session: %s', (_what, change) => edited(presigning, affX, (file) => ({ ...file, session: { ...file.session, ...change } })));
  test('another identity in the accused’s place, and one of small order', async () => {
    const small = new Uint8Array(32).fill(0).with(0, 1);
    for (const identity of [presigning.session.binding.identities[0]!.map((byte) => byte), small]) {
      await edited(presigning, encK, (file) => ({
        ...file,
        session: { ...file.session, identities: file.session.identities.map((key, j) => (j === ACCUSED ? identity : key)) },
      }));
    }
  });
  test('a message to somebody else, or of another round', async () => {
    await edited(presigning, encK, (file) => ({ ...file, claim: { ...file.claim, to: 2 } }));
    await edited(presigning, encK, (file) => ({
      ...file,
      claim: { ...file.claim, to: 2 },
      signed: file.signed.map((item) => (item.to === 0 ? { ...item, to: 2 } : item)),
    }));
    await edited(presigning, encK, (file) => ({ ...file, claim: { ...file.claim, round: messages.encrypted.name, to: EVERYBODY } }));
  });
  test('a private message to nobody in particular', async () => {
    for (const claim of [encK, affX]) await edited(presigning, claim, (file) => ({ ...file, claim: { ...file.claim, to: EVERYBODY } }));
    const share = { check: 'share', round: 'keygen/share', to: 0 };
    await edited(keygen, share, (file) => ({ ...file, claim: { ...file.claim, to: EVERYBODY } }));
  });
  test('a FROST key that nobody honest confirms: the identity', async () => {
    const { session } = await runFrostKeygen(core, { liars: [] });
    const run = await runOf(core, session, async (rounds, me) => {
      const phi = [me === 2 ? G.double().negate() : G, G];
      const opening = { phi, possession: provePossession(random, me, 1n), chainCode: new Uint8Array(32), u: new Uint8Array(32) };
      await rounds.echo(commitRound, commitTo(rounds.sid, me, opening));
      await rounds.broadcast(openRound(2), opening);
      await rounds.broadcast(confirmRound, { digest: new Uint8Array(32), complaint: undefined });
    });
    values(run.results);
    const claim = { accused: ACCUSED, check: 'confirmation', round: confirmRound.name };
    expect(await buildEvidence(claim, run.parties[0]!, run.session, options)).toBeUndefined();
  });
  test('a message of another session among the right ones', async () => {
    const other = await accuse(signing, affX);
    await edited(presigning, affX, (file) => ({ ...file, signed: file.signed.map((item, k) => (k === 0 ? other.signed[0]! : item)) }));
    await edited(presigning, affX, (file) => ({ ...file, signed: other.signed, acknowledged: other.acknowledged, echoed: other.echoed }));
  });
  test('another message of a third party than the accused acknowledged', async () => {
    const other = await accuse(signing, affX);
    await edited(presigning, affX, (file) => ({ ...file, acknowledged: other.acknowledged }));
    await edited(presigning, affX, (file) => ({ ...file, acknowledged: other.acknowledged, echoed: other.echoed }));
    await edited(presigning, elogDelta, (file) => ({ ...file, acknowledged: [...file.acknowledged].reverse().map(({ author, ...rest }) => ({ ...rest, author: 2 - author })) })); // prettier-ignore
  });
  test('another opening than was committed to', async () => {
    const [mine, other] = [await accuse(keygen, { check: 'sch-dkg', round: 'keygen/proof' }), await runKeygen(core, { liars: [] })];
    const theirs = await accuse(other, { check: 'sch-dkg', round: 'keygen/proof' });
    await malformed({ ...mine, acknowledged: theirs.acknowledged });
  });
  test('another message under a FROST share, or other nonces of the other signers', async () => {
    const claim = { check: 'signature-share', round: signatureShareRound.name };
    await edited(frost, claim, (file) => ({ ...file, facts: { ...file.facts, digest: file.facts.digest.map((byte) => byte ^ 1) } }));
    await edited(frost, claim, (file) => ({
      ...file,
      acknowledged: file.acknowledged.map((item) => ({ ...item, payload: encode(nonceRound.codec, { D: G, E: G.double() }) })),
    }));
  });
  test('one message less, or one more than is needed', async () => {
    const file = await accuse(presigning, affX);
    for (let k = 0; k < file.signed.length; k++) await malformed({ ...file, signed: file.signed.filter((_, i) => i !== k) });
    await malformed({ ...file, echoed: [] });
    await malformed({ ...file, acknowledged: [...file.acknowledged, { round: 'x', author: 2, payload: new Uint8Array() }] });
    await malformed({ ...file, signed: [...file.signed, file.signed[0]!] });
  });
  test('the same message twice is no equivocation', async () => {
    const { signed } = await accuse(presigning, elogDelta);
    const delta = { ...signed.find(({ round }) => round === messages.delta.name)!, payload: undefined };
    const file = await accuse(presigning, elogDelta);
    await malformed({
      ...file,
      claim: { ...file.claim, check: 'equivocation' },
      signed: [delta, { ...delta }],
      acknowledged: [],
      echoed: [],
    });
  });
  test('bytes that are no file, and numbers that nobody signs', async () => {
    for (const bytes of [new Uint8Array(), Uint8Array.of(1), new Uint8Array(1000).fill(255), Uint8Array.of(2, 0, 0)])
      expect(await verifyEvidence(bytes, options)).toEqual({ verdict: 'malformed', problem: 'not a file of evidence' });
    await edited(presigning, affX, (file) => ({ ...file, claim: { ...file.claim, accused: 63 } }));
    await edited(presigning, affX, (file) => ({ ...file, session: { ...file.session, parameters: 'production' } }));
  });
});

describe('a complaint that does not hold convicts the complainer', () => {
  /** The liar leaves in round 3 with a complaint. */
  const complaining = async (files: () => Promise<Uint8Array[]>, override?: Override) => {
    const shown = await files();
    const run = await runSigning(group, 'presign', {
      ...(override && { override }),
      as: (me, rounds) =>
        me !== LIAR
          ? rounds
          : {
              ...rounds,
              echo: (round, message) => {
                if (round.name !== messages.delta.name) return rounds.echo(round, message);
                rounds.complain(shown);
                throw new Error('leaving');
              },
            },
    });
    return run;
  };
  test.each([
    ['of bytes', () => Promise.resolve([Uint8Array.of(1, 2, 3)])],
    ['of an honest message', async () => [encode(evidenceFile, await accuse(presigning, encK))]],
    [
      'of another session',
      async () => {
        const other = await runKeygen(core, { override: tamper(LIAR, { name: 'keygen/confirm', delivery: 'broadcast', codec: { read: (r) => r.raw(32), write: (w, v) => w.raw(v) } }, (v: Uint8Array) => v.map((byte) => byte ^ 1)) }); // prettier-ignore
        return honestFaults(other)[0]!.evidence.files!.slice(0, 1);
      },
    ],
    ['without anything', () => Promise.resolve([])],
  ] as [string, () => Promise<Uint8Array[]>][])('%s', async (_what, files) => {
    await expectProven(core, await complaining(files), ['false-complaint']);
  });

  /** A file about a complaint that is not even in it. */
  const aboutComplaint = async (): Promise<Uint8Array> => {
    const file = await accuse(presigning, encK);
    const claim = { accused: ACCUSED, check: 'false-complaint', round: complaintRound.name, to: EVERYBODY };
    return encode(evidenceFile, { ...file, claim, signed: [], acknowledged: [], echoed: [] });
  };
  test('of another complaint: what the honest tell of it convicts none of them', async () => {
    const told: Uint8Array[] = [];
    const listening: Override = (from, _to, round, payload) => {
      if (from !== LIAR && round === complaintRound.name) told.push(...decode(complaintRound.codec, payload));
      return payload;
    };
    const run = await complaining(async () => [await aboutComplaint()], listening);
    const [file] = await expectProven(core, run, ['false-complaint']);
    expect(readEvidence(file!).claim.accused).toBe(LIAR);
    for (const shown of told) expect((await demandProof(shown, run.sid, options)).accused).toBe(LIAR);
  });

  test('a true complaint about a false one is judged, and no deeper nesting', async () => {
    const [file] = await expectProven(core, await complaining(() => Promise.resolve([Uint8Array.of(7)])), ['false-complaint']);
    expect(readEvidence(file!).claim).toMatchObject({ accused: LIAR, check: 'false-complaint', round: 'complaint' });
  });
});

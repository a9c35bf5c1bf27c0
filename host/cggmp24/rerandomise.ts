/**
 * Signing with a presignature whose nonce point is made anew for the request (cggmp24.md §7 rules 7 and 10).
 *
 * A presignature is known, Γ and all, before the message is. Somebody who sees a stock of nonce points and chooses messages (and children of the key)
 * to fit them attacks with more than one signature could give (Groth–Shoup, eprint 2021/1330; CVE-2025-66017). So the point that signs is
 *
 *   Γ' = f·Γ,   r' = x(Γ') mod q,   f = H_q("rerand/v1"; presignature, key, child, request, input, m, all Co_j, all o_j)
 *
 * where o_j is what signer j committed to when the presignature was made, and shows only once it has fixed the request. Before the last honest
 * signer opens nobody can predict f; afterwards nothing is left to choose. For a child of the key, PK_child = PK + τ·G, the tweak enters here:
 *
 *   σ_i = f^−1·(k̃_i·m + r'·(χ̃_i + τ·k̃_i)),   checked by   σ_j·Γ' = m·Δ̃_j + r'·(S̃_j + τ·Δ̃_j)
 *
 * With the base Γ' the stored points are not divided by f. What comes out is an equation of the old form with other numbers, so shares are made and
 * combined by the functions of plain signing.
 *
 * Profiles: *conservative*, the path is that of the presignature and τ = 0; *re-randomised*, a presignature of the wallet's own key signs for one of its
 * children. The analysis of the additive form carries over to this multiplicative one only heuristically, so a wallet's own address stays conservative.
 *
 * The caller keeps the states: READY → OPENED(request) durably before an opening leaves, → SPENT durably before a share does (host/presign).
 */
import { bigintToBytes, equalBytes, hex, utf8 } from '../base/bytes.ts';
import { Fault, invariant, Refusal } from '../base/errors.ts';
import { Child, formatPath } from '../curve/bip32.ts';
import { invQ, modQ, mulPublic } from '../curve/secp256k1.ts';
import { Transcript } from '../protocol/transcript.ts';
import type { KeyShare } from './key-share.ts';
import { nonceScalar, openingCommitment, type Presignature, type PresignaturePublic } from './presignature.ts';
import { scalarOf, type Sighash } from './sighash.ts';
import { combine, partialSignature, type Signature, type SigningPublic } from './sign.ts';

export interface SigningRequest {
  /** Hash of everything that was asked for: the whole unsigned transaction, the wallet, and which presignature and path each input has. 32 bytes. */
  readonly request: Uint8Array;
  /** Which input of it. */
  readonly input: number;
  /** Non-hardened path below the key; empty for the key itself. */
  readonly path: readonly number[];
  readonly message: Sighash;
}

export interface Opened extends SigningRequest {
  /** Only what is public of the key. */
  readonly key: Pick<KeyShare, 'keyId' | 'epoch' | 'publicKey' | 'chainCode'>;
  readonly presignature: PresignaturePublic;
  /** Identity keys of the signer set, by position. */
  readonly identities: readonly Uint8Array[];
  /** o_j by position, each out of its owner's signed approval of this request. */
  readonly openings: readonly Uint8Array[];
}

export type Profile = 'conservative' | 're-randomised';

/** A presignature made over for one message: the only thing that signs for a pool. Made by {@link rerandomise} alone, so f is always the hash. */
export class Rerandomised {
  /** Against this the shares are checked: Γ', Δ̃_j, S̃_j + τ·Δ̃_j, PK_child. */
  readonly points: SigningPublic;
  readonly profile: Profile;
  readonly #presignature: Uint8Array;
  readonly #message: Sighash;
  readonly #f: bigint;
  readonly #tau: bigint;

  private constructor(opened: Opened, profile: Profile, child: Pick<Child, 'shift' | 'publicKey'>) {
    const { presignature, message } = opened;
    this.#presignature = presignature.id.slice();
    this.#message = message;
    this.#tau = child.shift;
    this.#f = factor(opened, child);
    this.profile = profile;
    const { signers, Gamma, DeltaTilde, STilde } = presignature;
    const blinded = mulPublic(Gamma, this.#f);
    // Probability 2^−256 each, whatever the parties do: the presignature is burnt by then, and another is taken.
    invariant(this.#f !== 0n && nonceScalar({ Gamma: blinded }) !== 0n, 'f ≠ 0 and r’ ≠ 0');
    this.points = {
      signers,
      publicKey: child.publicKey,
      Gamma: blinded,
      DeltaTilde,
      STilde: this.#tau === 0n ? STilde : STilde.map((S_j, j) => S_j.add(mulPublic(DeltaTilde[j]!, this.#tau))),
    };
  }

  /** @throws Refusal when the request does not fit the presignature, Fault naming whose opening is not what it committed to. */
  static of(opened: Opened): Rerandomised {
    const { presignature, key, path, identities, openings } = opened;
    const { signers, sid, commitments } = presignature;
    const fits =
      presignature.keyId === key.keyId &&
      presignature.epoch === key.epoch &&
      identities.length === signers.length &&
      openings.length === signers.length &&
      opened.request.length === 32;
    if (!fits)
      throw refuse('presignature', 'the presignature is of another key, epoch or signer set', 'take one of this key and these signers');

    // SHA-256(T("presig-open/v1"), B(sid), U(j), B(o_j)) = Co_j, for every j
    const wrong = openings.flatMap((o_j, j) => (equalBytes(openingCommitment(sid, j, o_j), commitments[j]!) ? [] : [j]));
    if (wrong.length > 0)
      throw new Fault(wrong, 'wrong opening of a presignature', {
        round: 'sign/open',
        detail: `o_j does not open Co_j of ${hex(presignature.id)}`,
      });

    const bound = Child.of(key, presignature.path);
    if (!bound.publicKey.equals(presignature.publicKey)) throw refuse('presignature', 'the presignature is of another key', 'discard it');
    if (path.join() === presignature.path.join())
      return new Rerandomised(opened, 'conservative', { shift: 0n, publicKey: presignature.publicKey });
    if (presignature.path.length > 0)
      throw refuse('path', `a presignature made for ${formatPath(presignature.path)} does not sign for ${formatPath(path)}`, 'take one of the key itself, or of this path'); // prettier-ignore
    return new Rerandomised(opened, 're-randomised', Child.of(key, path));
  }

  /** σ_i. The caller has marked the presignature spent, durably. @throws Refusal for another presignature than the one that was opened. */
  partial({ id, kTilde, chiTilde }: Pick<Presignature, 'id' | 'kTilde' | 'chiTilde'>): bigint {
    if (!equalBytes(id, this.#presignature))
      throw refuse('presignature', 'these are secrets of another presignature', 'open that one first');
    const inverse = invQ(this.#f);
    // k̃'_i = f^−1·k̃_i,   χ̃'_i = f^−1·(χ̃_i + τ·k̃_i)
    const secret = { kTilde: modQ(inverse * kTilde), chiTilde: modQ(inverse * (chiTilde + this.#tau * kTilde)) };
    return partialSignature({ ...secret, Gamma: this.points.Gamma }, this.#message);
  }

  /** The signature under {@link points}.publicKey. @throws Fault naming every signer whose share does not fit. */
  combine(partials: ReadonlyMap<number, bigint>): Signature {
    return combine(this.points, this.#message, partials);
  }
}

/** f of §7 rule 10, fields in its order. */
function factor(opened: Opened, { shift: tau, publicKey: child }: Pick<Child, 'shift' | 'publicKey'>): bigint {
  const { presignature, identities, openings, request, input, message } = opened;
  const { sid, id, keyId, epoch, publicKey, Gamma, DeltaTilde, STilde, signers, commitments } = presignature;
  return new Transcript('rerand/v1')
    .bytes(sid)
    .bytes(id)
    .bytes(utf8(keyId))
    .u32(epoch)
    .points(publicKey, Gamma)
    .list(DeltaTilde, (hash, Delta_j) => hash.point(Delta_j))
    .list(STilde, (hash, S_j) => hash.point(S_j))
    .list(signers, (hash, index) => hash.u32(index))
    .list(identities, (hash, key) => hash.bytes(key))
    .scalar(tau)
    .point(child)
    .bytes(request)
    .u32(input)
    .bytes(bigintToBytes(scalarOf(message), 32))
    .list(commitments, (hash, Co_j) => hash.bytes(Co_j))
    .list(openings, (hash, o_j) => hash.bytes(o_j))
    .hashToScalar();
}

const refuse = (field: string, message: string, remedy: string): Refusal => new Refusal('rerandomise', field, message, remedy, 409);

/**
 * A presignature: everything of a signature that does not depend on the message. It belongs to one key, epoch, path and signer set, and to one
 * message: two signatures made with it reveal the key (cggmp24.md §6.7, 7). The store that keeps it burns it durably before it is used, never
 * puts it back, and leaves it out of backups.
 */
import { equalBytes } from '../base/bytes.ts';
import { bytes, DecodeError, list, map, struct, text, u32, versioned, type Codec } from '../base/codec.ts';
import { G, modQ, mul, point, scalar, sum, type Point } from '../curve/secp256k1.ts';
import { Transcript } from '../protocol/transcript.ts';
import { MAX_PARTIES } from './key-share.ts';

/** What all signers hold alike, and anybody may see. Positions are those of the signer set. */
export interface PresignaturePublic {
  /** 32 bytes, the same at all signers: hash of sid and Γ. */
  readonly id: Uint8Array;
  readonly keyId: string;
  readonly epoch: number;
  /** The session that made it. */
  readonly sid: Uint8Array;
  /** Key indices by position, ascending. */
  readonly signers: readonly number[];
  /** Non-hardened BIP-32 indices below the key; empty for the key itself. */
  readonly path: readonly number[];
  /** The key it signs under: the child's, where a path is given. */
  readonly publicKey: Point;
  /** Γ: the nonce point. r = x(Γ) mod q. */
  readonly Gamma: Point;
  /** Δ̃_j = δ^−1·Δ_j = k̃_j·Γ by position; Σ Δ̃_j = G. */
  readonly DeltaTilde: readonly Point[];
  /** S̃_j = δ^−1·S_j = χ̃_j·Γ by position; Σ S̃_j = PK. */
  readonly STilde: readonly Point[];
  /** Co_j: commitments to the openings, by position. */
  readonly commitments: readonly Uint8Array[];
}

export interface Presignature extends PresignaturePublic {
  readonly version: 1;
  /** Own position in `signers`. */
  readonly position: number;
  /** k̃_i = k_i/δ. Secret. */
  readonly kTilde: bigint;
  /** χ̃_i = χ_i/δ. Secret. */
  readonly chiTilde: bigint;
  /** o_i, which Co_i commits to: shown only together with the signed request. Secret until then. */
  readonly opening: Uint8Array;
}

/** Co_i = SHA-256(T("presig-open/v1"), B(sid), U(i), B(o_i)). */
export const openingCommitment = (sid: Uint8Array, position: number, opening: Uint8Array): Uint8Array =>
  new Transcript('presig-open/v1').bytes(sid).u32(position).bytes(opening).digest();

export const presignatureId = (sid: Uint8Array, Gamma: Point): Uint8Array =>
  new Transcript('presignature/v1').bytes(sid).point(Gamma).digest();

/** r = x(Γ) mod q. */
export const nonceScalar = ({ Gamma }: Pick<PresignaturePublic, 'Gamma'>): bigint => modQ(Gamma.toAffine().x);

/** The condition of the public part that fails, or undefined. */
export function presignaturePublicProblem(presignature: PresignaturePublic): string | undefined {
  const { id, sid, signers, publicKey, Gamma, DeltaTilde, STilde, commitments } = presignature;
  const t = signers.length;
  if (t < 2 || signers.some((index, a) => a > 0 && index <= signers[a - 1]!)) return 'at least two signers in ascending order';
  if (DeltaTilde.length !== t || STilde.length !== t || commitments.length !== t) return 'one Δ̃_j, S̃_j and Co_j per signer';
  if (!sum(DeltaTilde).equals(G)) return 'Σ Δ̃_j = G';
  if (!sum(STilde).equals(publicKey)) return 'Σ S̃_j = PK';
  if (!equalBytes(id, presignatureId(sid, Gamma))) return 'id = H(sid, Γ)';
  if (nonceScalar(presignature) === 0n) return 'r ≠ 0';
  return undefined;
}

/** As {@link presignatureProblem}, without the two secret multiplications. */
function recordProblem(presignature: Presignature): string | undefined {
  const { sid, commitments, position, opening, signers } = presignature;
  const problem = presignaturePublicProblem(presignature);
  if (problem !== undefined) return problem;
  if (position >= signers.length) return 'position < t';
  if (!equalBytes(openingCommitment(sid, position, opening), commitments[position]!)) return 'o_i opens Co_i';
  return undefined;
}

/**
 * The self-check on creation and on loading (§6.7), as the condition that fails, or undefined.
 * It also shows that the own secrets belong to the public part: a damaged share would look to the others like a cheat.
 */
export function presignatureProblem(presignature: Presignature): string | undefined {
  const { Gamma, DeltaTilde, STilde, position, kTilde, chiTilde } = presignature;
  const problem = recordProblem(presignature);
  if (problem !== undefined) return problem;
  if (!mul(Gamma, kTilde).equals(DeltaTilde[position]!)) return 'k̃_i·Γ = Δ̃_i';
  if (!mul(Gamma, chiTilde).equals(STilde[position]!)) return 'χ̃_i·Γ = S̃_i';
  return undefined;
}

const publicFields = {
  id: bytes(32),
  keyId: text(64),
  epoch: u32,
  sid: bytes(32),
  signers: list(u32, { max: MAX_PARTIES }),
  path: list(u32, { max: 16 }),
  publicKey: point,
  Gamma: point,
  DeltaTilde: list(point, { max: MAX_PARTIES }),
  STilde: list(point, { max: MAX_PARTIES }),
  commitments: list(bytes(32), { max: MAX_PARTIES }),
};
const copies = ({ signers, path, DeltaTilde, STilde, commitments }: PresignaturePublic) => ({
  signers: [...signers],
  path: [...path],
  DeltaTilde: [...DeltaTilde],
  STilde: [...STilde],
  commitments: [...commitments],
});
const refuse = (problem: string): never => {
  throw new DecodeError('', `inconsistent presignature: ${problem} does not hold`);
};

const record = (problemOf: (value: Presignature) => string | undefined): Codec<Presignature> =>
  versioned(
    1,
    map(
      struct({ ...publicFields, position: u32, kTilde: scalar, chiTilde: scalar, opening: bytes(32) }),
      (fields): Presignature => {
        const value = { version: 1 as const, ...fields };
        const problem = problemOf(value);
        return problem === undefined ? value : refuse(problem);
      },
      (value) => ({ ...value, ...copies(value) }),
    ),
  );
/** The whole record, secrets included, as it is sealed on disk. What it decodes passes {@link presignatureProblem}. */
export const presignature: Codec<Presignature> = record(presignatureProblem);
/**
 * The same record on its way from an authenticated store to its one use, when every millisecond is a payment's: its secrets were checked against its
 * public part when it was made, and the store vouches for every bit since, so the two secret multiplications are not repeated.
 */
export const sealedPresignature: Codec<Presignature> = record(recordProblem);

/** The public part alone. What it decodes passes {@link presignaturePublicProblem}. */
export const presignaturePublic: Codec<PresignaturePublic> = versioned(
  1,
  map(
    struct(publicFields),
    (fields): PresignaturePublic => {
      const problem = presignaturePublicProblem(fields);
      return problem === undefined ? fields : refuse(problem);
    },
    (value) => ({ ...value, ...copies(value) }),
  ),
);

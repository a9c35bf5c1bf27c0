/**
 * What the figures are held against: the project's own floors and aims, and what the published description of the predecessor claims (five
 * machines of four virtual processors each). Absolute times belong to the machine; the ratios carry over.
 */
import type { Result } from './types.ts';

export interface Target {
  /** Which of the two is held against it. */
  readonly of: 'p50' | 'p99';
  /** Rates are better when higher, everything else when lower. */
  readonly better: 'lower' | 'higher';
  readonly floor: number;
  readonly aim: number;
}

const lower = (of: 'p50' | 'p99', floor: number, aim: number): Target => ({ of, better: 'lower', floor, aim });
const higher = (floor: number, aim: number): Target => ({ of: 'p50', better: 'higher', floor, aim });

export const TARGETS: Readonly<Record<string, readonly Target[]>> = {
  'presign.modexp.4of5': [lower('p50', 50, 25)],
  'sign.pool.4of5': [lower('p50', 40, 10), lower('p99', 150, 40)],
  'payment.rest.4of5': [lower('p99', 500, 150)],
  'sign.pool.rate': [higher(10, 50)],
  'sign.frost.rate': [higher(20, 100)],
  'sign.interactive.4of5': [lower('p50', 3000, 1000)],
  'start.first': [lower('p50', 240, 120)],
};

export interface Claim {
  readonly p50: number;
  readonly better: 'lower' | 'higher';
  readonly text: string;
}
const within = (p50: number, text: string): Claim => ({ p50, better: 'lower', text });

/** In the units of the results. The claims are elapsed times; where ours is the processor time of one party, the text says so. */
export const CLAIMS: Readonly<Record<string, Claim>> = {
  'presign.party.4of5': within(1500, '1500 / 2200 ms elapsed'),
  'keygen.cggmp24.4of5': within(2300, '2300 / 3100 ms elapsed'),
  'keygen.frost.4of5': within(1800, '1800 / 2400 ms elapsed'),
  'sign.pool.4of5': within(180, '180 / 350 ms'),
  'sign.pool.rate': { p50: 200 / 60, better: 'higher', text: '200 per minute' },
  'sign.interactive.4of5': within(1900, '1900 / 2800 ms'),
  'sign.frost.4of5': within(900, '900 ms'),
  'vote.4of5': within(95, '95 / 180 ms'),
  'payment.pool.4of5': within(460, '460 ms'),
};

/** A figure against another one of the same run. */
interface Ratio {
  readonly what: string;
  readonly of: string;
  readonly to: string;
  /** `lower`: of/to should be small. `higher`: to/of, how many times faster, should be large. */
  readonly better: 'lower' | 'higher';
  readonly floor: number;
  readonly aim: number;
}

const RATIOS: readonly Ratio[] = [
  {
    what: 'exponentiation 3072/3072, pairs, against OpenSSL',
    of: 'kernel.modexp.3072x3072.pair',
    to: 'kernel.modexp.3072x3072.openssl',
    better: 'lower',
    floor: 1.1,
    aim: 0.95,
  },
  ...['3072x3072', '6144x3072'].map((size): Ratio => ({
    what: `exponentiation ${size.replace('x', '/')}, pairs, faster than BigInt`,
    of: `kernel.modexp.${size}.pair`,
    to: `kernel.modexp.${size}.bigint`,
    better: 'higher',
    floor: 5,
    aim: 8,
  })),
  {
    what: 'Paillier encryption, faster than paillier-bigint',
    of: 'paillier.encrypt.3072.core',
    to: 'paillier.encrypt.3072.paillier-bigint',
    better: 'higher',
    floor: 8,
    aim: 20,
  },
  {
    what: 'Paillier decryption, faster than paillier-bigint',
    of: 'paillier.decrypt.3072.core',
    to: 'paillier.decrypt.3072.paillier-bigint',
    better: 'higher',
    floor: 10,
    aim: 15,
  },
];

/** Targets whose other side cannot run here. */
export const UNMEASURED_RATIOS: readonly { readonly what: string; readonly floor: string; readonly aim: string; readonly why: string }[] = [
  {
    what: 'multiplication of 3072 bits, single / pair, against GMP',
    floor: '1.15 / 1',
    aim: '0.9 / 0.7',
    why: 'GMP does not run inside Node: measured apart, docs/performance.md',
  },
];

export type Verdict = 'aim' | 'floor' | 'missed';

export function judge(value: number, { better, floor, aim }: Pick<Target, 'better' | 'floor' | 'aim'>): Verdict {
  const holds = (bound: number) => (better === 'lower' ? value <= bound : value >= bound);
  return holds(aim) ? 'aim' : holds(floor) ? 'floor' : 'missed';
}

/** The ratios of medians whose two figures were both measured. */
export function ratiosOf(results: readonly Result[]): { what: string; value: number; floor: number; aim: number; verdict: Verdict }[] {
  const median = (name: string) => results.find((result) => result.name === name)?.p50;
  return RATIOS.flatMap(({ what, of, to, better, floor, aim }) => {
    const [a, b] = [median(of), median(to)];
    if (a === undefined || b === undefined) return [];
    const value = better === 'lower' ? a / b : b / a;
    return [{ what, value, floor, aim, verdict: judge(value, { better, floor, aim }) }];
  });
}

/**
 * Whether two sets of times come from one distribution, the way of dudect (O. Reparaz, J. Balasch, I. Verbauwhede, "Dude, is my code constant
 * time?", DATE 2017): Welch's t for all measurements, and for those below each of a number of percentiles, which takes away what interrupts
 * add. |t| < 4.5 is no evidence of a difference; above 10 there is one.
 */
export interface Sample {
  readonly time: number;
  /** Of the first class (a fixed secret), or of the second (a fresh random one). */
  readonly fixed: boolean;
}

const CROPS = 20;

/** Welch's t of two samples; 0 where one of them is too small to say anything. */
export function welch(a: readonly number[], b: readonly number[]): number {
  if (a.length < 10 || b.length < 10) return 0;
  const [ma, va] = moments(a);
  const [mb, vb] = moments(b);
  const spread = Math.sqrt(va / a.length + vb / b.length);
  return spread === 0 ? 0 : (ma - mb) / spread;
}

function moments(values: readonly number[]): [mean: number, variance: number] {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  return [mean, values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - 1)];
}

/** The t of greatest absolute value over no cropping and CROPS crops, those towards the fast end denser, as dudect chooses them. */
export function greatestT(samples: readonly Sample[]): number {
  const sorted = samples.map(({ time }) => time).sort((x, y) => x - y);
  let greatest = 0;
  for (let crop = 0; crop <= CROPS; crop++) {
    const share = crop === CROPS ? 1 : 1 - 0.5 ** ((10 * (crop + 1)) / CROPS);
    const below = sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length))]!;
    const kept = samples.filter(({ time }) => crop === CROPS || time < below);
    const t = welch(
      kept.filter(({ fixed }) => fixed).map(({ time }) => time),
      kept.filter(({ fixed }) => !fixed).map(({ time }) => time),
    );
    if (Math.abs(t) > Math.abs(greatest)) greatest = t;
  }
  return greatest;
}

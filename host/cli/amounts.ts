/**
 * Amounts as typed and as shown. Satoshis are the only unit inside. The two units differ by a factor of 10⁸, so neither is ever guessed:
 * a decimal point in satoshis is refused, and bitcoins are asked for by name and converted digit by digit.
 */
import { Refusal } from '../base/errors.ts';

const SATS_PER_BTC = 100_000_000n;
const MAX_SATS = 21_000_000n * SATS_PER_BTC;

/** `--amount`. */
export function parseSats(text: string): number {
  if (/^\d+[.,]\d*$|^[.,]\d+$/.test(text)) {
    const btc = text.replace(',', '.').replace(/^\./, '0.').replace(/\.$/, '');
    throw refused('--amount', `"${text}" is no whole number of satoshis`, `use --btc ${btc} for bitcoins, or give whole satoshis`);
  }
  if (!/^\d{1,16}$/.test(text)) {
    throw refused('--amount', `"${text.slice(0, 40)}" is no amount in satoshis`, 'give digits only, for example --amount 100000');
  }
  return inRange('--amount', BigInt(text));
}

/** `--btc`: up to eight decimals, exactly. */
export function parseBtc(text: string): number {
  const match = /^(\d{1,8})(?:\.(\d{1,8}))?$/.exec(text);
  if (match === null) {
    const remedy = 'give digits with a decimal point and at most eight decimals, for example --btc 0.001';
    throw refused('--btc', `"${text.slice(0, 40)}" is no amount in bitcoins`, remedy);
  }
  const [, whole = '0', decimals = ''] = match;
  return inRange('--btc', BigInt(whole) * SATS_PER_BTC + BigInt(decimals.padEnd(8, '0')));
}

function inRange(field: string, sats: bigint): number {
  if (sats === 0n) throw refused(field, 'the amount is zero', 'give at least one satoshi');
  if (sats > MAX_SATS) throw refused(field, `there are not ${sats} satoshis in the world`, 'give at most 21 million bitcoins');
  return Number(sats);
}

const refused = (field: string, message: string, remedy: string) => new Refusal('amount.invalid', field, message, remedy);

/** `1 234 567 sats`, with thin grouping that copies as digits and spaces. */
export function sats(value: number): string {
  return `${String(value).replace(/\B(?=(\d{3})+$)/g, ' ')} sats`;
}

/** `0.01234567 BTC`, always eight decimals. */
export function btc(value: number): string {
  const [sign, magnitude] = value < 0 ? ['-', BigInt(-value)] : ['', BigInt(value)];
  return `${sign}${magnitude / SATS_PER_BTC}.${String(magnitude % SATS_PER_BTC).padStart(8, '0')} BTC`;
}

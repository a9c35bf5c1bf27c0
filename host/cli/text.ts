/** Text for a terminal: colour where it is wanted, nothing a server sends that could steer the terminal, times and amounts as people read them. */
import type { Io } from './io.ts';

/**
 * Control characters and those that reorder text (Unicode bidirectional formatting) shown as their code points: a payment's metadata must not
 * be able to repaint the line above it.
 */
export function plain(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are the point
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

const CODES = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2, bold: 1 } as const;
export type Colour = keyof typeof CODES;
export type Paint = (colour: Colour, text: string) => string;

/** Colours on a terminal; never with NO_COLOR (no-color.org) or --no-color, always with FORCE_COLOR otherwise. */
export function painter(io: Io, wanted: boolean): Paint {
  const { NO_COLOR, FORCE_COLOR, TERM } = io.env;
  const off = !wanted || (NO_COLOR !== undefined && NO_COLOR !== '');
  const forced = FORCE_COLOR !== undefined && FORCE_COLOR !== '' && FORCE_COLOR !== '0';
  const on = !off && (forced || (io.stdout.isTTY === true && TERM !== 'dumb'));
  return on ? (colour, text) => `\u001b[${CODES[colour]}m${text}\u001b[0m` : (_colour, text) => text;
}

const GOOD = new Set(['confirmed', 'completed', 'healthy', 'active', 'self', 'approve', 'approved', 'yes']);
const BAD = new Set(['rejected', 'timed_out', 'failed', 'aborted_byzantine', 'critical', 'dead', 'reject', 'no']);

/** A state in its colour: green for a good end, red for a bad one, cyan for sent, yellow for everything under way. */
export function painted(paint: Paint, state: string): string {
  if (GOOD.has(state)) return paint('green', state);
  if (BAD.has(state)) return paint('red', state);
  return paint(state === 'broadcast' ? 'cyan' : 'yellow', plain(state));
}

const UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
];

/** `3 min ago`; `now` and the result of parsing `time` in milliseconds. */
export function ago(time: string | null, now: number): string {
  if (time === null) return '–';
  const seconds = Math.round((now - Date.parse(time)) / 1000);
  if (!Number.isFinite(seconds)) return plain(time);
  if (seconds < 1) return 'now';
  const [unit, size] = UNITS.find(([, length]) => seconds >= length) ?? ['s', 1];
  return `${Math.floor(seconds / size)} ${unit} ago`;
}

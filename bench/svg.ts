/** Line charts as SVG text: axes with round ticks, a legend, nothing else. Knows nothing of what it draws. */

export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** `steps`: y holds until the next x, as in a distribution. `line`: points with straight lines between. */
  readonly style: 'steps' | 'line';
}

export interface Axis {
  readonly label: string;
  readonly scale: 'linear' | 'log';
  /** Ends of the axis; what is left out follows from the data. */
  readonly from?: number;
  readonly to?: number;
  /** Where the marks are; without it they are round numbers. */
  readonly ticks?: readonly number[];
}

export interface Chart {
  readonly title: string;
  readonly subtitle?: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}

const WIDTH = 820;
const HEIGHT = 440;
const LEFT = 64;
const TOP = 62;
const BOTTOM = 52;
const CHARACTER = 6.7;
/** Okabe and Ito's colours, which the colour-blind can tell apart, the light ones left out; dashes tell a second round of them. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#555555'];
const DASHES = ['', '6 3', '2 3'];
const FONT = 'font-family="Helvetica, Arial, sans-serif"';

const escape = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const at = (value: number): string => (Math.round(value * 10) / 10).toString();

/** A number as an axis shows it: 0.05, 1.5, 20, 3000. */
const shown = (value: number): string => Number(value.toPrecision(6)).toString();

/** Round numbers, at most about eight of them, that cover the span. */
export function linearTicks(from: number, to: number): number[] {
  const raw = (to - from) / 7 || 1;
  const magnitude = 10 ** Math.floor(Math.log10(raw));
  const step = magnitude * [1, 2, 5, 10].find((factor) => factor * magnitude >= raw * 0.999)!;
  const first = Math.ceil(from / step - 1e-9);
  const count = Math.floor(to / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Powers of ten, and the more between them the shorter the span. */
export function logTicks(from: number, to: number): number[] {
  const decades = Math.log10(to / from);
  const factors = decades > 4 ? [1] : decades > 1.5 ? [1, 2, 5] : [1, 1.5, 2, 3, 5, 7];
  const ticks: number[] = [];
  for (let exponent = Math.floor(Math.log10(from)); exponent <= Math.ceil(Math.log10(to)); exponent++)
    for (const factor of factors) {
      const tick = Number((factor * 10 ** exponent).toPrecision(6));
      if (tick >= from * 0.999 && tick <= to * 1.001) ticks.push(tick);
    }
  return ticks;
}

interface Scale {
  readonly ticks: readonly number[];
  /** 0 to 1 along the axis. */
  readonly place: (value: number) => number;
}

function scaleOf(axis: Axis, values: readonly number[]): Scale {
  const { scale } = axis;
  let from = axis.from ?? values.reduce((a, b) => Math.min(a, b), Infinity);
  let to = axis.to ?? values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (scale === 'log') {
    // A little air, and never an axis of no length.
    from = axis.from ?? from / 1.15;
    to = axis.to ?? to * 1.15;
    return { ticks: axis.ticks ?? logTicks(from, to), place: (value) => Math.log(value / from) / Math.log(to / from) };
  }
  if (from === to) to = from + 1;
  if (axis.to === undefined) to += (to - from) * 0.06;
  return { ticks: axis.ticks ?? linearTicks(from, to), place: (value) => (value - from) / (to - from) };
}

/** @throws RangeError without a point */
export function drawChart({ title, subtitle, x, y, series }: Chart): string {
  const points = series.flatMap((one) => one.points);
  if (points.length === 0) throw new RangeError('a chart needs a point');
  const right = 24 + Math.max(...series.map(({ name }) => name.length)) * CHARACTER + 34;
  const [plotWidth, plotHeight] = [WIDTH - LEFT - right, HEIGHT - TOP - BOTTOM];
  const xScale = scaleOf(
    x,
    points.map(([value]) => value),
  );
  const yScale = scaleOf(
    y,
    points.map(([, value]) => value),
  );
  const px = (value: number): number => LEFT + plotWidth * xScale.place(value);
  const py = (value: number): number => TOP + plotHeight * (1 - yScale.place(value));
  const text = (px: number, py: number, content: string, rest = ''): string =>
    `<text x="${at(px)}" y="${at(py)}" ${FONT} ${rest}>${escape(content)}</text>`;
  const line = (x1: number, y1: number, x2: number, y2: number, rest: string): string =>
    `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" ${rest}/>`;

  const out: string[] = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="${escape(title)}">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    text(LEFT, 24, title, 'font-size="16" font-weight="bold" fill="#222222"'),
  ];
  if (subtitle !== undefined) out.push(text(LEFT, 43, subtitle, 'font-size="12" fill="#666666"'));
  for (const tick of xScale.ticks) {
    out.push(line(px(tick), TOP, px(tick), TOP + plotHeight, 'stroke="#e6e6e6"'));
    out.push(text(px(tick), TOP + plotHeight + 18, shown(tick), 'font-size="12" fill="#444444" text-anchor="middle"'));
  }
  for (const tick of yScale.ticks) {
    out.push(line(LEFT, py(tick), LEFT + plotWidth, py(tick), 'stroke="#e6e6e6"'));
    out.push(text(LEFT - 8, py(tick) + 4, shown(tick), 'font-size="12" fill="#444444" text-anchor="end"'));
  }
  out.push(line(LEFT, TOP + plotHeight, LEFT + plotWidth, TOP + plotHeight, 'stroke="#444444"'));
  out.push(line(LEFT, TOP, LEFT, TOP + plotHeight, 'stroke="#444444"'));
  out.push(text(LEFT + plotWidth / 2, HEIGHT - 12, x.label, 'font-size="13" fill="#222222" text-anchor="middle"'));
  const middle = TOP + plotHeight / 2;
  out.push(text(16, middle, y.label, `font-size="13" fill="#222222" text-anchor="middle" transform="rotate(-90 16 ${at(middle)})"`));

  series.forEach(({ name, points: own, style }, i) => {
    const stroke = `stroke="${COLOURS[i % COLOURS.length]}" stroke-width="2"`;
    const dash = DASHES[Math.floor(i / COLOURS.length) % DASHES.length]!;
    const dashed = dash === '' ? '' : ` stroke-dasharray="${dash}"`;
    const sorted = [...own].sort(([a], [b]) => a - b);
    let path = '';
    sorted.forEach(([vx, vy], k) => {
      const [cx, cy] = [at(px(vx)), at(py(vy))];
      path += k === 0 ? `M${cx} ${cy}` : style === 'steps' ? `H${cx}V${cy}` : `L${cx} ${cy}`;
    });
    out.push(`<path d="${path}" fill="none" ${stroke}${dashed}/>`);
    if (style === 'line')
      for (const [vx, vy] of sorted)
        out.push(`<circle cx="${at(px(vx))}" cy="${at(py(vy))}" r="3.5" fill="${COLOURS[i % COLOURS.length]}"/>`);
    const [lx, ly] = [LEFT + plotWidth + 20, TOP + 10 + 20 * i];
    out.push(line(lx, ly - 4, lx + 22, ly - 4, stroke + dashed));
    out.push(text(lx + 28, ly, name, 'font-size="12" fill="#222222"'));
  });
  out.push('</svg>');
  return `${out.join('\n')}\n`;
}

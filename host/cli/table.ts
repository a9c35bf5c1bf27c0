/** Tables for people. Cells are made harmless here; colour is added after. */
import Table from 'cli-table3';
import { plain, type Paint } from './text.ts';

/** Text, or text that is already safe and coloured. */
export type Cell = string | number | { readonly painted: string };
const text = (cell: Cell): string => (typeof cell === 'object' ? cell.painted : plain(String(cell)));

/** Rows under a head. */
export function grid(paint: Paint, head: readonly string[], rows: readonly (readonly Cell[])[], empty: string): string {
  if (rows.length === 0) return empty;
  const table = new Table({ head: head.map((title) => paint('bold', title)), style: { head: [], border: [] } });
  table.push(...rows.map((row) => row.map(text)));
  return table.toString();
}

/** One record: a name and a value per row. */
export function record(paint: Paint, rows: readonly (readonly [string, Cell])[]): string {
  const table = new Table({ style: { head: [], border: [] } });
  table.push(...rows.map(([name, value]) => [paint('bold', name), text(value)]));
  return table.toString();
}

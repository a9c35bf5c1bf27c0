import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { edited, PLANTS } from './study.ts';

describe('the faults that the study plants', () => {
  it.each(PLANTS)('$name still finds its place', async (plant) => {
    const source = await readFile(new URL(`../../${plant.file}`, import.meta.url), 'utf8');
    expect(edited(source, plant)).not.toBe(source);
    expect(() => edited(edited('', plant), plant)).toThrow('has changed');
  });
});

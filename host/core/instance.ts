/**
 * The one place that loads the WebAssembly modules (build/fma.wasm, build/extmul.wasm: the same source with and without relaxed SIMD).
 */
import { instantiateSync } from '@assemblyscript/loader';
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { Defect } from '../base/errors.ts';

export type KernelName = 'fma' | 'extmul';

/** Exports of assembly/index.ts. Numbers are pointers and sizes in linear memory, unless said otherwise there. */
export interface Exports extends Record<string, unknown> {
  readonly memory: WebAssembly.Memory;
  scratch(): number;
  supported(): number;
  contextBytes(lanes: number, parts: number, bits: number): number;
  contextInit(context: number, lanes: number, parts: number, bits: number, moduli: number): void;
  numberBytes(context: number): number;
  powerBytes(context: number, terms: number, width: number): number;
  power(
    context: number,
    input: number,
    area: number,
    terms: number,
    words: number,
    width: number,
    signs: number,
    secret: number,
    factors: number,
    checked: number,
    wide: number,
  ): number;
  slide(context: number, input: number, area: number, terms: number, words: number, width: number, bits: number, factors: number): void;
  slideBytes(context: number, terms: number, bits: number, width: number): number;
  combBytes(context: number): number;
  combBuild(context: number, chunk: number, base: number, area: number): number;
  combPower(context: number, output: number, area: number, bases: number, list: number, exponents: number, secret: number): void;
  invert(n: number, x: number, bytes: number, wanted: number): number;
  ownerBytes(pWords: number, qWords: number, lambdaWords: number): number;
  ownerInit(record: number, secrets: number, pWords: number, qWords: number, lambdaWords: number): number;
  ownerModuli(record: number, target: number, words: number): void;
  ownerContext(record: number, context: number): number;
  ownerExponent(record: number, which: number, target: number, stride: number, words: number): number;
  ownerReduce(
    record: number,
    x: number,
    xWords: number,
    e: number,
    eWords: number,
    area: number,
    target: number,
    stride: number,
    words: number,
  ): void;
  ownerRecombine(record: number, squared: number, halves: number, words: number, target: number): number;
  ownerPlaintext(record: number, halves: number, words: number, target: number): number;
  repeat(context: number, target: number, count: number, squarings: number): void;
  wipe(from: number, bytes: number): void;
}

/**
 * Flags of the engine, per process, to be set before the first compilation.
 * - Relaxed SIMD is behind a flag in Node 20 and 21, and on by default later.
 * - Without the baseline compiler every function is optimized before it first runs. Otherwise long-running functions keep their slow first
 *   version (there is no replacement inside a running WebAssembly function), an exponentiation takes up to twice its time for the first
 *   seconds of a worker, and how long depends on what else the machine does. It costs some 30 ms of one processor, once per process.
 */
export function prepareEngine(): void {
  if (Number.parseInt(process.versions.node) < 22) setFlagsFromString('--experimental-wasm-relaxed-simd');
  setFlagsFromString('--no-liftoff');
}

// Sources stand in host/core, compiled files in dist/host/core; build/ is beside host/ and dist/.
const compiled = new URL(import.meta.url).pathname.endsWith('.js');
const root = new URL(compiled ? '../../../' : '../../', import.meta.url);
/** The compiled worker, also when this file itself runs from source. */
export const workerFile = new URL('dist/host/core/worker.js', root);

/** @throws WebAssembly.CompileError where the engine lacks what the module needs; an error of the file system when the build is missing. */
export function compile(kernel: KernelName): WebAssembly.Module {
  prepareEngine();
  return new WebAssembly.Module(readFileSync(new URL(`build/${kernel}.wasm`, root)));
}

export function instantiate(module: WebAssembly.Module): Exports {
  const { exports } = instantiateSync<Exports>(module, {
    env: {
      abort: (_message: number, _file: number, line: number, column: number) => {
        throw new Defect(`arithmetic core: assertion at ${line}:${column}`);
      },
    },
  });
  return exports;
}

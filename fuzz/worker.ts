/** The thread that decodes. What it is about to try stands in shared memory, so that the main thread can name an input that never returns. */
import { parentPort, workerData } from 'node:worker_threads';
import { decoders } from './decoders.ts';
import { hunt, type Finding } from './engine.ts';

/** [decoder index, input number, inputs done, inputs accepted] */
export type Progress = Int32Array<SharedArrayBuffer>;

export interface Assignment {
  readonly progress: Progress;
  readonly names: readonly string[];
  readonly seed: number;
  /** First input; the last one is never reached unless `only` is set. */
  readonly from: number;
  readonly only: boolean;
}

/** Inputs of one decoder before it is the next one's turn. */
const TURN = 200;

const port = parentPort;
if (port !== null) {
  const { progress, names, seed, from, only } = workerData as Assignment;
  const chosen = decoders().filter(({ name }) => names.includes(name));
  for (let at = from; ; at += TURN) {
    for (const decoder of chosen) {
      const found: Finding[] = await hunt(decoder, seed, at, only ? at + 1 : at + TURN, (n, answer) => {
        if (answer === undefined) {
          Atomics.store(progress, 0, names.indexOf(decoder.name));
          Atomics.store(progress, 1, n);
        } else {
          Atomics.add(progress, 2, 1);
          if (answer === 'accepted') Atomics.add(progress, 3, 1);
        }
      });
      for (const finding of found) port.postMessage(finding);
    }
    if (only) break;
  }
}

/** What this tree is compared by: the exports that contract.ts describes, for the gate of this tree and of later ones. */
import { chooseKernel } from '../../host/core/self-test.ts';
import { CONTRACT, type Probes } from './contract.ts';

export const contract: Probes['contract'] = CONTRACT;
export const kernel: Probes['kernel'] = chooseKernel().kernel;
export { counts } from './counts.ts';
export { timeProbes } from './times.ts';

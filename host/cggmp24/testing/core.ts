import { referenceCore } from '../../core/reference.ts';
import type { Core } from '../../core/types.ts';

export const testCore = (): Core & { close(): Promise<void> } => ({ ...referenceCore, close: () => Promise.resolve() });

/**
 * What to do with errors that no promise and no caller receives. The QUIC library throws its internal errors from event handlers, so a peer's
 * odd packet can surface as an uncaught exception of the whole process. Such an error concerns one connection, and the mesh notices by its
 * heartbeat when that connection is broken; it is logged and counted, and the node goes on. Any other uncaught error is a bug of ours with
 * unknown effect: `onDefect` decides, and in a node it ends the process in order, to be started again by its supervisor.
 */
import { errors } from '@matrixai/quic';
import type { MeshLogger } from './transport.ts';

/** Raised by the QUIC library and not by our code. */
export const isTransportError = (error: unknown): boolean =>
  error instanceof errors.ErrorQUIC || error instanceof errors.ErrorQUICUndefinedBehaviour;

export interface ProcessGuard {
  /** Transport errors that were survived. */
  readonly survived: number;
  remove(): void;
}

/** Installs handlers for `uncaughtException` and `unhandledRejection`; call it once, before the mesh starts. */
export function installProcessGuard(options: { readonly logger: MeshLogger; onDefect(error: unknown): void }): ProcessGuard {
  let survived = 0;
  const handle = (error: unknown): void => {
    if (!isTransportError(error)) return options.onDefect(error);
    survived++;
    options.logger.warn({ error: String(error), survived }, 'the QUIC library failed inside; its connection may be lost, the node goes on');
  };
  process.on('uncaughtException', handle);
  process.on('unhandledRejection', handle);
  return {
    get survived() {
      return survived;
    },
    remove() {
      process.off('uncaughtException', handle);
      process.off('unhandledRejection', handle);
    },
  };
}

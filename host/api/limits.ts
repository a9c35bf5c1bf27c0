/** Every bound of the server in one place. Node's and fastify's own defaults are off or generous; ours are neither. */
import type { EventLimits } from './events.ts';
import type { RateLimit } from './rate.ts';

export interface ApiLimits {
  /** Per client: the token's subject, or the address of whoever shows no valid token. */
  readonly rate: RateLimit;
  readonly events: EventLimits;
  readonly bodyBytes: number;
  readonly headerBytes: number;
  readonly maxConnections: number;
  /** For the headers of a request, also on a connection that never sends any. Milliseconds, as all below. */
  readonly headersTimeout: number;
  /** For a whole request. */
  readonly requestTimeout: number;
  /** Between two requests of a connection. */
  readonly keepAliveTimeout: number;
  /** A connection on which nothing moves while an answer is due; slow routes and streams excepted. */
  readonly idleTimeout: number;
  /** Until a route that is not slow has answered. */
  readonly handlerTimeout: number;
  /** How long a stopping server waits for requests under way. */
  readonly drainTimeout: number;
}

export const DEFAULT_LIMITS: ApiLimits = {
  rate: { perSecond: 10, burst: 20 },
  events: { maxListeners: 64, heartbeatMs: 15_000, maxBuffered: 1 << 20 },
  bodyBytes: 64 * 1024,
  headerBytes: 16 * 1024,
  maxConnections: 1024,
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 10_000,
  idleTimeout: 120_000,
  handlerTimeout: 60_000,
  drainTimeout: 30_000,
};

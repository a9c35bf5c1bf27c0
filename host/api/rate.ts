/**
 * Token buckets, one per client, as the store of @fastify/rate-limit: a bucket holds up to `burst` requests and refills at `perSecond`.
 * Unlike a fixed window it never lets twice the burst through around a window's edge.
 */

export interface RateLimit {
  readonly perSecond: number;
  readonly burst: number;
}

interface Bucket {
  tokens: number;
  /** Milliseconds; monotonic. */
  at: number;
}

/** Memory stays bounded under a flood of clients: beyond this many, those longest unseen are forgotten. */
const MAX_CLIENTS = 10_000;

/** A constructor in the form @fastify/rate-limit wants; `now` in milliseconds is injected by tests. */
export function bucketStore(limit: RateLimit, now: () => number = () => performance.now()) {
  const buckets = new Map<string, Bucket>();
  const refillMs = 1000 / limit.perSecond;
  return class TokenBucketStore {
    /** Takes one token of `key`. `current` above `burst` means refused; `ttl` are the milliseconds until the next token. */
    incr(key: string, callback: (error: Error | null, result?: { current: number; ttl: number }) => void): void {
      const time = now();
      const seen = buckets.get(key) ?? { tokens: limit.burst, at: time };
      const tokens = Math.min(limit.burst, seen.tokens + (time - seen.at) / refillMs);
      const granted = tokens >= 1;
      const left = granted ? tokens - 1 : tokens;
      // Deleting first moves the key to the young end of the map.
      buckets.delete(key);
      buckets.set(key, { tokens: left, at: time });
      if (buckets.size > MAX_CLIENTS) buckets.delete(buckets.keys().next().value as string);
      const ttl = left >= 1 ? 0 : (1 - left) * refillMs;
      callback(null, { current: granted ? limit.burst - Math.floor(left) : limit.burst + 1, ttl });
    }

    /** Routes share the buckets: the limit is per client, not per route. */
    child(): this {
      return this;
    }
  };
}

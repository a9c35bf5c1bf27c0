/** Start and end of the server: a port that cannot be had is a refusal; whoever is being served when it stops is served. */
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { Refusal } from '../base/errors.ts';

/** @returns the URL it listens at. */
export async function listen(app: FastifyInstance, { host, port }: { readonly host: string; readonly port: number }): Promise<string> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    const code = (error as { code?: string }).code;
    await app.close();
    if (code === 'EADDRINUSE') {
      throw new Refusal(
        'config.port_in_use',
        'port',
        `port ${port} on ${host} is in use`,
        'stop what uses it, or choose another port',
        409,
      );
    }
    if (code === 'EACCES') {
      throw new Refusal('config.port_denied', 'port', `this user may not listen on port ${port}`, 'choose a port above 1023', 403);
    }
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
      throw new Refusal(
        'config.host',
        'host',
        `${host} is no address of this machine`,
        'use 127.0.0.1, 0.0.0.0 or an address of an interface',
      );
    }
    throw error;
  }
  const address = app.server.address() as AddressInfo;
  return `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`;
}

/** Requests under way, so that a stopping server knows when nobody waits any more. */
export interface InFlight {
  /** Resolves when there is none. */
  drained(): Promise<void>;
}

export function trackRequests(app: FastifyInstance): InFlight {
  let count = 0;
  let announce = () => {};
  app.addHook('onRequest', async (_request, reply) => {
    count++;
    // Unlike fastify's onResponse this also comes when the client goes away.
    reply.raw.once('close', () => {
      count--;
      if (count === 0) announce();
    });
  });
  return { drained: () => (count === 0 ? Promise.resolve() : new Promise((resolve) => (announce = resolve))) };
}

/** Node's own close would wait for connections on which nobody ever asked anything, until their headers time out. */
export async function close(app: FastifyInstance, requests: InFlight, drainTimeout: number): Promise<void> {
  const closed = app.close();
  const deadline = new AbortController();
  const outcome = await Promise.race([
    requests.drained().then(() => 'drained' as const),
    sleep(drainTimeout, 'late' as const, { signal: deadline.signal, ref: false }),
  ]);
  deadline.abort();
  if (outcome === 'late') app.log.warn('requests still under way at the drain time-out; ended');
  app.server.closeAllConnections();
  await closed;
}

/** What stands between one node and the chain of the tests: passes requests on, is down on command, and lies where a test says so. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';

export interface Backend {
  readonly url: string;
  /** Connections are dropped without an answer. */
  down: boolean;
  /** Why a broadcast is refused; undefined passes it on. */
  refuseBroadcast: (hex: string) => string | undefined;
  /** Replaces the body of an answer; undefined leaves it as the chain gave it. */
  edit: (path: string, body: string) => string | undefined;
  /** Transactions that were given to it, as hex. */
  readonly broadcasts: string[];
  close(): Promise<void>;
}

export async function startBackend(chainUrl: string): Promise<Backend> {
  const server = createServer((incoming, outgoing) => {
    void (async () => {
      const path = incoming.url ?? '/';
      const chunks: Buffer[] = [];
      for await (const chunk of incoming) chunks.push(chunk as Buffer);
      const body = Buffer.concat(chunks);
      if (backend.down) return void incoming.socket.destroy();
      if (incoming.method === 'POST' && path === '/tx') {
        backend.broadcasts.push(body.toString());
        const reason = backend.refuseBroadcast(body.toString());
        if (reason !== undefined) return void outgoing.writeHead(400).end(reason);
      }
      const answer = await request(`${chainUrl}${path}`, {
        method: incoming.method === 'POST' ? 'POST' : 'GET',
        ...(body.length > 0 && { body }),
      });
      const text = await answer.body.text();
      outgoing.writeHead(answer.statusCode, { 'content-type': 'application/json' }).end(backend.edit(path, text) ?? text);
    })().catch(() => incoming.socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const backend: Backend = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    down: false,
    refuseBroadcast: () => undefined,
    edit: () => undefined,
    broadcasts: [],
    close: () =>
      new Promise<void>((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
        server.closeAllConnections();
      }),
  };
  return backend;
}

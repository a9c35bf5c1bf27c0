/** Ports that nobody uses now, for a cluster beside whatever else runs. */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

const LOOPBACK = '127.0.0.1';
/** Below the ports that operating systems give to outgoing connections. */
const LOWEST = 15_000;
const HIGHEST = 32_000;
const ATTEMPTS = 50;

export interface ClusterPorts {
  readonly apiPort: number;
  readonly meshPort: number;
  readonly chainPort: number;
  readonly postgresPort: number;
}

const tcpFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: LOOPBACK, exclusive: true }, () => server.close(() => resolve(true)));
  });

const udpFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', () => {
      socket.close();
      resolve(false);
    });
    socket.bind({ port, address: LOOPBACK, exclusive: true }, () => socket.close(() => resolve(true)));
  });

/** Consecutive ports for `nodes` nodes: REST, then mesh (UDP), then chain and database. @throws Error when fifty random places are taken. */
export async function freePorts(nodes: number): Promise<ClusterPorts> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const first = randomInt(LOWEST, HIGHEST);
    const range = Array.from({ length: nodes }, (_, i) => i);
    const free = await Promise.all([
      ...range.map((i) => tcpFree(first + i)),
      ...range.map((i) => udpFree(first + nodes + i)),
      tcpFree(first + 2 * nodes),
      tcpFree(first + 2 * nodes + 1),
    ]);
    if (free.every(Boolean))
      return { apiPort: first, meshPort: first + nodes, chainPort: first + 2 * nodes, postgresPort: first + 2 * nodes + 1 };
  }
  throw new Error(`no ${2 * nodes + 2} free ports in a row between ${LOWEST} and ${HIGHEST} on ${LOOPBACK}`);
}

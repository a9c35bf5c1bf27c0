/**
 * Live events as server-sent events (WHATWG HTML §9.2): `event:` is the type, `data:` one JSON object. A comment line as heartbeat keeps
 * proxies from closing a quiet stream. The number of listeners and what may wait for a slow one are bounded: a listener that does not read is
 * dropped, never waited for. Nothing is replayed: whoever reconnects reads the state again.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Refusal } from '../base/errors.ts';
import type { NetworkName, WalletEvent, WalletService } from '../wallet/types.ts';
import { problemDocument, problemOf } from './problems.ts';
import { event as eventSchema } from './responses.ts';
import { mayUse, type Principal } from './tokens.ts';
import { transactionView } from './views.ts';

export interface EventLimits {
  readonly maxListeners: number;
  readonly heartbeatMs: number;
  /** Bytes that may wait for one listener. */
  readonly maxBuffered: number;
}

export interface EventStreams {
  /** Answers with a stream that ends with the connection, the token, or the server. */
  serve(principal: Principal, request: FastifyRequest, reply: FastifyReply): Promise<void>;
  /** Ends all streams. */
  close(): void;
}

interface EventContext {
  readonly service: WalletService;
  readonly network: () => Promise<NetworkName>;
  readonly nodeName: (party: number) => string;
  readonly limits: EventLimits;
}

export function createEventStreams({ service, network, nodeName, limits }: EventContext): EventStreams {
  const open = new Set<AbortController>();

  async function serve(principal: Principal, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (open.size >= limits.maxListeners) {
      const message = `${limits.maxListeners} clients are listening already`;
      throw new Refusal('events.full', 'events', message, 'close a stream that is no longer needed, or listen at another node', 429);
    }
    const controller = new AbortController();
    // Before the first await, so that requests arriving together count each other.
    open.add(controller);
    const end = () => controller.abort();
    request.raw.socket.once('close', end);
    const expiry = setTimeout(end, Math.min(principal.expires - Date.now(), MAX_TIMER_MS)).unref();
    try {
      const chain = await network();
      reply.hijack();
      const output = reply.raw;
      output.on('error', end);
      output.writeHead(200, {
        ...(reply.getHeaders() as Record<string, string>),
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      });
      const write = (text: string) => {
        output.write(text);
        if (output.writableLength > limits.maxBuffered) {
          request.log.warn({ buffered: output.writableLength }, 'a listener does not read its events; dropped');
          request.raw.socket.destroy();
        }
      };
      write(': connected\n\n');
      const heartbeat = setInterval(() => write(': heartbeat\n\n'), limits.heartbeatMs).unref();
      try {
        await pump(principal, chain, controller.signal, write);
      } catch (error) {
        if (!controller.signal.aborted) {
          request.log.error({ err: error }, 'the event stream broke');
          write(frame('problem', problemDocument(problemOf(error, nodeName), request.id)));
        }
      } finally {
        clearInterval(heartbeat);
        output.end();
      }
    } finally {
      clearTimeout(expiry);
      request.raw.socket.off('close', end);
      controller.abort();
      open.delete(controller);
    }
  }

  async function pump(principal: Principal, chain: NetworkName, signal: AbortSignal, write: (text: string) => void): Promise<void> {
    for await (const event of service.events(signal)) {
      if (signal.aborted) return;
      if (!(await mayHear(service, principal, event))) continue;
      const shown = event.type === 'transaction' ? { ...event, transaction: transactionView(event.transaction, chain) } : event;
      write(frame(event.type, eventSchema.parse(shown)));
    }
  }

  return {
    serve,
    close: () => {
      for (const controller of open) controller.abort();
    },
  };
}

/** The longest delay a timer can have. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** JSON has no raw line breaks, so one `data:` line holds it. */
const frame = (type: string, data: unknown): string => `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;

/** Events of wallets that the token does not cover stay unheard. */
async function mayHear(service: WalletService, principal: Principal, event: WalletEvent): Promise<boolean> {
  if (principal.wallets === '*') return true;
  switch (event.type) {
    case 'transaction':
      return mayUse(principal, event.transaction.wallet_id);
    case 'vote':
      return votesOnOwn(service, principal, event.tx_id);
    case 'ceremony':
      return event.ceremony.wallet_id === null || mayUse(principal, event.ceremony.wallet_id);
    case 'pool':
      return mayUse(principal, event.pool.wallet_id);
    case 'peer':
      return true;
    default:
      return event satisfies never;
  }
}

async function votesOnOwn(service: WalletService, principal: Principal, txId: string): Promise<boolean> {
  try {
    return mayUse(principal, (await service.transaction(txId)).wallet_id);
  } catch (error) {
    // A payment this node has no record of yet belongs to nobody here.
    if (error instanceof Refusal) return false;
    throw error;
  }
}

/**
 * Questions and answers between nodes. A {@link Method} is declared once with the codecs of both, so that both ends check the same schema;
 * errors travel back in their family, with what the caller can act on and without stack.
 *
 * A call that ends in {@link Unavailable} may have been carried out (the answer can be lost); methods are therefore made so that asking twice
 * does no harm.
 */
import { randomBytes } from 'node:crypto';
import { hex } from '../base/bytes.ts';
import { bytes, bytesUpTo, decode, DecodeError, encode, struct, text, versioned, type Codec } from '../base/codec.ts';
import { Defect, Fault, Refusal, Unavailable } from '../base/errors.ts';
import { failureOf, failureCodec, thrownBy } from './call-errors.ts';
import { MAX_BODY_BYTES, SESSION_BYTES } from './frame.ts';
import type { MeshLogger } from './transport.ts';
import type { Frame, Mesh, NodeId, TrafficClass } from './types.ts';

export interface Method<Q, A> {
  /** At most 64 bytes. */
  readonly name: string;
  readonly request: Codec<Q>;
  readonly response: Codec<A>;
}
export const method = <Q, A>(name: string, request: Codec<Q>, response: Codec<A>): Method<Q, A> => ({ name, request, response });

export interface CallOptions {
  /** Milliseconds; 10 000 unless given. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** `control` unless given. */
  readonly class?: TrafficClass;
}

export interface Calls {
  /** Answers `method`; registered before the mesh starts. `from` is the identity of the caller's certificate. */
  serve<Q, A>(method: Method<Q, A>, answer: (from: NodeId, request: Q) => Promise<A>): void;
  /**
   * Asks `to` (this node itself included). @throws Refusal, Unavailable, Fault or Defect as the other node threw it; Unavailable without link
   * or answer; Fault when the answer is malformed; the signal's reason when cancelled.
   */
  call<Q, A>(to: NodeId, method: Method<Q, A>, request: Q, options?: CallOptions): Promise<A>;
  /**
   * Tells another node what needs no answer: half the messages of a call. The receiver works on it as on a call; whether it did, nobody hears.
   * @throws Unavailable without link.
   */
  tell<Q, A>(to: NodeId, method: Method<Q, A>, notice: Q, traffic?: TrafficClass): void;
}

/** Calls under way at once, per peer: asked of it, and asked by it. */
export const MAX_CALLS = 256;
const DEFAULT_TIMEOUT_MS = 10_000;
const REQUEST = 'call';
const NOTICE = 'notice';
const ANSWER = 'answer';
const FAILURE = 'failure';
const ID_BYTES = 16;
const ENVELOPE_BYTES = 128;

export const requestEnvelope = versioned(
  1,
  struct({ id: bytes(ID_BYTES), method: text(64), payload: bytesUpTo(MAX_BODY_BYTES - ENVELOPE_BYTES) }),
);
export const answerEnvelope = versioned(1, struct({ id: bytes(ID_BYTES), payload: bytesUpTo(MAX_BODY_BYTES - ENVELOPE_BYTES) }));
export const failureEnvelope = versioned(1, struct({ id: bytes(ID_BYTES), failure: failureCodec }));

const NO_SESSION = new Uint8Array(SESSION_BYTES);
/** In the place of a request's id: nobody waits under it. */
const NO_ID = new Uint8Array(ID_BYTES);

interface Pending {
  readonly to: NodeId;
  answer(payload: Uint8Array): void;
  fail(error: Error): void;
}

export function createCalls(mesh: Mesh, options: { readonly logger?: MeshLogger } = {}): Calls {
  const services = new Map<string, (from: NodeId, payload: Uint8Array) => Promise<Uint8Array>>();
  const pending = new Map<string, Pending>();
  const asked = new Map<NodeId, number>();
  const served = new Map<NodeId, number>();

  const frame = (traffic: TrafficClass, kind: string, body: Uint8Array): Frame => ({
    class: traffic,
    kind,
    session: NO_SESSION,
    round: '',
    body,
  });
  const add = (counter: Map<NodeId, number>, node: NodeId, by: number) => counter.set(node, (counter.get(node) ?? 0) + by);

  async function answer(from: NodeId, name: string, payload: Uint8Array): Promise<Uint8Array> {
    const service = services.get(name);
    if (service === undefined) {
      throw new Refusal(
        'mesh.unknown_method',
        'method',
        `${mesh.self} does not know the method ${JSON.stringify(name)}`,
        'run the same version on all nodes',
        404,
      );
    }
    if ((served.get(from) ?? 0) >= MAX_CALLS) {
      throw new Unavailable(
        mesh.self,
        `${mesh.self} works on ${MAX_CALLS} calls of ${from} already`,
        'wait for answers before asking more',
      );
    }
    add(served, from, 1);
    try {
      return await service(from, payload);
    } finally {
      add(served, from, -1);
    }
  }

  /** The answer of this node, or what to tell about its failure. What is not of our families is a bug: logged here, and not described to others. */
  async function reply(from: NodeId, traffic: TrafficClass, id: Uint8Array, name: string, payload: Uint8Array): Promise<void> {
    let answered: Frame;
    try {
      answered = frame(traffic, ANSWER, encode(answerEnvelope, { id, payload: await answer(from, name, payload) }));
    } catch (error) {
      if (error instanceof Defect || !isOurs(error))
        options.logger?.warn({ peer: from, method: name, error: describe(error) }, 'a call failed by a defect');
      answered = frame(traffic, FAILURE, encode(failureEnvelope, { id, failure: failureOf(error, mesh.self) }));
    }
    try {
      mesh.send(from, answered);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      options.logger?.warn({ peer: from, method: name, error: error.message }, 'an answer could not be sent'); // the caller times out
    }
  }

  /** What is thrown is told to the operator of this node, the only one who can know. */
  async function hear(from: NodeId, name: string, payload: Uint8Array): Promise<void> {
    try {
      await answer(from, name, payload);
    } catch (error) {
      if (error instanceof Defect || !isOurs(error))
        options.logger?.warn({ peer: from, method: name, error: describe(error) }, 'a notice failed by a defect');
      else options.logger?.debug({ peer: from, method: name, error: describe(error) }, 'a notice was refused');
    }
  }

  function settle(from: NodeId, id: Uint8Array, how: (call: Pending) => void): void {
    const call = pending.get(hex(id));
    if (call === undefined || call.to !== from) return; // answered, cancelled or timed out before; or not asked of this node
    how(call);
  }

  mesh.handle(REQUEST, (from, { class: traffic, body }) => {
    const { id, method: name, payload } = decode(requestEnvelope, body);
    reply(from, traffic, id, name, payload).catch((error: unknown) => {
      options.logger?.warn({ peer: from, method: name, error: describe(error) }, 'a call failed by a defect');
    });
  });
  mesh.handle(NOTICE, (from, { body }) => {
    const { method: name, payload } = decode(requestEnvelope, body);
    void hear(from, name, payload);
  });
  mesh.handle(ANSWER, (from, { body }) => {
    const { id, payload } = decode(answerEnvelope, body);
    settle(from, id, (call) => call.answer(payload));
  });
  mesh.handle(FAILURE, (from, { body }) => {
    const { id, failure } = decode(failureEnvelope, body);
    settle(from, id, (call) => call.fail(thrownBy(from, failure)));
  });
  mesh.onPeer((node, status) => {
    if (status === 'active' || status === 'degraded') return;
    const lost = new Unavailable(node, `the link to ${node} was lost during the call`, 'ask again when the link is back');
    for (const call of [...pending.values()]) if (call.to === node) call.fail(lost);
  });

  function parseAnswer<A>(from: NodeId, { name, response }: Method<unknown, A>, payload: Uint8Array): A {
    try {
      return decode(response, payload);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw new Fault([mesh.members.indexOf(from)], `malformed answer of ${from} to ${name}: ${error.message}`, {
        round: name,
        detail: error.message,
      });
    }
  }

  return {
    serve({ name, request, response }, handler) {
      if (services.has(name)) throw new Defect(`the method ${name} is served already`);
      services.set(name, async (from, payload) => {
        let question;
        try {
          question = decode(request, payload);
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
          throw new Refusal(
            'mesh.malformed_request',
            error.path || name,
            `malformed request ${name}: ${error.message}`,
            'run the same version on all nodes',
          );
        }
        return encode(response, await handler(from, question));
      });
    },

    tell(to, { name, request }, notice, traffic = 'control') {
      mesh.send(to, frame(traffic, NOTICE, encode(requestEnvelope, { id: NO_ID, method: name, payload: encode(request, notice) })));
    },

    async call(to, asking, request, { timeoutMs = DEFAULT_TIMEOUT_MS, signal, class: traffic = 'control' } = {}) {
      signal?.throwIfAborted();
      const payload = encode(asking.request, request);
      if (to === mesh.self) return parseAnswer(to, asking, await answer(to, asking.name, payload));
      if ((asked.get(to) ?? 0) >= MAX_CALLS) {
        throw new Unavailable(to, `${MAX_CALLS} calls to ${to} are under way already`, 'wait for answers before asking more');
      }
      const id = new Uint8Array(randomBytes(ID_BYTES));
      add(asked, to, 1);
      let timer: NodeJS.Timeout | undefined;
      let onAbort: (() => void) | undefined;
      try {
        const answered = await new Promise<Uint8Array>((resolve, reject) => {
          pending.set(hex(id), { to, answer: resolve, fail: reject });
          onAbort = () =>
            reject(signal!.reason instanceof Error ? signal!.reason : new DOMException('the call was cancelled', 'AbortError'));
          signal?.addEventListener('abort', onAbort, { once: true });
          timer = setTimeout(
            () =>
              reject(
                new Unavailable(
                  to,
                  `${to} did not answer ${asking.name} within ${timeoutMs} ms`,
                  `check the load of ${to}, then try again`,
                ),
              ),
            timeoutMs,
          );
          mesh.send(to, frame(traffic, REQUEST, encode(requestEnvelope, { id, method: asking.name, payload })));
        });
        return parseAnswer(to, asking, answered);
      } finally {
        clearTimeout(timer);
        if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
        pending.delete(hex(id));
        add(asked, to, -1);
      }
    },
  };
}

const isOurs = (error: unknown): boolean => error instanceof Refusal || error instanceof Unavailable || error instanceof Fault;
const describe = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));

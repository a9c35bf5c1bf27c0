/** What a route is: a row that says who may call it, what goes in and out, and the one call of the wallet that it stands for. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { Principal, Role } from './tokens.ts';

export interface Call<P, Q, B, H> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly headers: H;
  /** Who asks; on open routes, nobody. */
  readonly principal: Principal;
  /** Aborted when the client leaves before it has its answer. */
  readonly signal: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RouteSpec<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, H extends z.ZodType> {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  /** The least role that may call it; `open` needs no token. */
  readonly role: Role | 'open';
  readonly operation: string;
  readonly summary: string;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  readonly headers?: H;
  /** Schemas of the successful answers by status. */
  readonly answers: Readonly<Record<number, z.ZodType>>;
  /** Ceremonies take minutes: such a route has no deadline of its own. */
  readonly slow?: boolean;
  handle(call: Call<z.output<P>, z.output<Q>, z.output<B>, z.output<H>>): Promise<Answer>;
}

/** A route whose parts' types are forgotten, as a table holds it. */
export type AnyRoute = Omit<RouteSpec<z.ZodType, z.ZodType, z.ZodType, z.ZodType>, 'handle'> & {
  handle(call: Call<unknown, unknown, unknown, unknown>): Promise<Answer>;
};

/** A route that writes its answer itself. */
export interface StreamRoute {
  readonly url: string;
  readonly role: Role;
  readonly operation: string;
  readonly summary: string;
  stream(principal: Principal, request: FastifyRequest, reply: FastifyReply): Promise<void>;
}

/** Ties the types of a route's parts to its handler. The parts were validated before it is called. */
export function route<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, H extends z.ZodType>(
  spec: RouteSpec<P, Q, B, H>,
): AnyRoute {
  return { ...spec, handle: (call) => spec.handle(call as Call<z.output<P>, z.output<Q>, z.output<B>, z.output<H>>) };
}

/** The REST API of one node: `createApi` puts the routes behind authentication, limits and problem documents. It holds no logic of the wallet. */
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject, serializerCompiler } from 'fastify-type-provider-zod';
import type { Logger } from 'pino';
import { invariant, Refusal, Unavailable } from '../base/errors.ts';
import type { NetworkName, WalletService } from '../wallet/types.ts';
import { createEventStreams } from './events.ts';
import { DEFAULT_LIMITS, type ApiLimits } from './limits.ts';
import { close, listen, trackRequests } from './lifecycle.ts';
import { MethodNotAllowed, problemOf, TooManyRequests } from './problems.ts';
import { bucketStore } from './rate.ts';
import { answerBrokenRequest, sendProblem } from './replies.ts';
import * as responses from './responses.ts';
import type { AnyRoute } from './route.ts';
import { createRoutes } from './routes.ts';
import { createTokenVerifier, requireRole, type Principal, type Role, type TokenTrust } from './tokens.ts';
import { refusingCompiler } from './validation.ts';

export interface ApiOptions {
  readonly service: WalletService;
  readonly auth: TokenTrust;
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly logger: Logger;
  /** The wallet that routes without an id mean. When absent: the only wallet, if there is exactly one. */
  readonly defaultWallet?: () => Promise<string | undefined>;
  readonly version: string;
  readonly limits?: Partial<ApiLimits>;
  /** The name of a party index in a fault; `party 3` when absent. */
  readonly nodeName?: (party: number) => string;
}

export interface Api {
  /** `http://host:port`, without a slash at the end. */
  readonly url: string;
  /** Refuses new work, ends event streams, waits for requests under way until the drain time-out, then ends what is left. */
  close(): Promise<void>;
}

/** What a request is known by, from its first hook on. */
type Identified = { readonly principal: Principal } | { readonly failure: unknown };

/** Stands for whoever calls an open route. */
const NOBODY: Principal = { subject: 'anonymous', role: 'viewer', wallets: new Set(), expires: Number.MAX_SAFE_INTEGER };

/** @throws Refusal when the port is taken or not allowed, or the token key is unusable. */
export async function createApi(options: ApiOptions): Promise<Api> {
  const { service } = options;
  const limits: ApiLimits = { ...DEFAULT_LIMITS, ...options.limits };
  const nodeName = options.nodeName ?? ((party) => `party ${party}`);
  const network = once(async (): Promise<NetworkName> => (await service.clusterStatus()).network);
  const identify = await createIdentification(options.auth);

  const app = createServer(options.logger, limits);
  const requests = trackRequests(app);
  const streams = createEventStreams({ service, network, nodeName, limits: limits.events });

  const answerProblem = (request: FastifyRequest, reply: FastifyReply, error: unknown) => {
    const kind = problemOf(error, nodeName);
    if (kind.status >= 500) request.log.error({ err: error }, 'request failed');
    return sendProblem(request, reply, kind);
  };
  app.setErrorHandler((error, request, reply) => answerProblem(request, reply, error));

  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  });
  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store').header('x-request-id', request.id);
    // Before the rate limit, which counts per subject; what failed here is only thrown where a route asks for a role.
    await identify(request);
  });
  await app.register(rateLimit, {
    max: limits.rate.burst,
    timeWindow: Math.ceil((limits.rate.burst / limits.rate.perSecond) * 1000),
    store: bucketStore(limits.rate) as never,
    keyGenerator: (request) => {
      const known = identities.get(request);
      return known !== undefined && 'principal' in known ? `subject:${known.principal.subject}` : `address:${request.ip}`;
    },
    errorResponseBuilder: (_request, refusal) => new TooManyRequests(Math.max(1, Math.ceil(refusal.ttl / 1000))),
  });
  app.addHook('onResponse', async (request, reply) => {
    const known = identities.get(request);
    const subject = known !== undefined && 'principal' in known ? known.principal.subject : undefined;
    const ms = Math.round(reply.elapsedTime);
    request.log.info({ method: request.method, route: request.routeOptions.url, status: reply.statusCode, ms, subject }, 'request');
  });
  await registerOpenApi(app, options.version);

  const methods = new Map<string, string[]>();
  app.addHook('onRoute', (added) => {
    methods.set(added.url, [...(methods.get(added.url) ?? []), ...[added.method].flat()]);
  });
  const defaultWallet = options.defaultWallet ?? (() => onlyWallet(service));
  for (const spec of createRoutes({ service, defaultWallet, network })) mount(app, spec, limits);
  mountEvents(app, streams.serve);
  app.get('/openapi.json', { schema: { hide: true }, handler: async () => app.swagger() });
  mountMethodErrors(app, methods);
  app.setNotFoundHandler({ preHandler: app.rateLimit() }, (request, reply) => {
    const detail = `there is nothing at ${request.url.split('?')[0]?.slice(0, 200)}`;
    const remedy = 'the routes are listed in /openapi.json';
    return sendProblem(request, reply, { status: 404, detail, code: 'http.route', remedy });
  });
  let closing = false;
  app.addHook('preClose', async () => {
    closing = true;
    streams.close();
  });
  app.addHook('onSend', async (_request, reply) => {
    // A connection kept alive now would only hold up the end.
    if (closing) reply.header('connection', 'close');
  });

  const url = await listen(app, options);
  return { url, close: () => close(app, requests, limits.drainTimeout) };
}

const identities = new WeakMap<FastifyRequest, Identified>();

/** Remembers who sent a request, or why that is unknown. */
async function createIdentification(trust: TokenTrust): Promise<(request: FastifyRequest) => Promise<void>> {
  const verify = await createTokenVerifier(trust);
  return async (request) => {
    try {
      identities.set(request, { principal: await verify(request.headers.authorization) });
    } catch (failure) {
      identities.set(request, { failure });
    }
  };
}

/** Who calls, with at least this role. @throws Refusal 401 or 403. */
function authorise(request: FastifyRequest, role: Role): Principal {
  const known = identities.get(request);
  invariant(known !== undefined, 'a request reached its route unidentified');
  if ('failure' in known) throw known.failure;
  requireRole(known.principal, role);
  return known.principal;
}

function createServer(logger: Logger, limits: ApiLimits): FastifyInstance {
  const app = Fastify({
    loggerInstance: logger as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    trustProxy: false,
    bodyLimit: limits.bodyBytes,
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    requestTimeout: limits.requestTimeout,
    connectionTimeout: limits.idleTimeout,
    keepAliveTimeout: limits.keepAliveTimeout,
    maxRequestsPerSocket: 10_000,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 128 },
    http: {
      headersTimeout: limits.headersTimeout,
      maxHeaderSize: limits.headerBytes,
      // How often Node looks for connections past their time-outs.
      connectionsCheckingInterval: Math.max(100, Math.min(5_000, limits.headersTimeout / 2)),
    },
    frameworkErrors: (error, request, reply) => void sendProblem(request, reply, problemOf(error, String)),
    clientErrorHandler: (error, socket) => answerBrokenRequest(error, socket as Socket),
  });
  app.server.maxConnections = limits.maxConnections;
  app.setValidatorCompiler(refusingCompiler as never);
  app.setSerializerCompiler(serializerCompiler);
  app.removeContentTypeParser('text/plain');
  return app;
}

/** Methods of the routes, with the schemas of their problems, in OpenAPI. */
async function registerOpenApi(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Threshold Wallet',
        version,
        description:
          'A Bitcoin wallet whose key exists nowhere in one place. Amounts are integer satoshis. Errors are problem documents (RFC 9457).',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } },
    },
    transform: jsonSchemaTransform,
    transformObject: jsonSchemaTransformObject,
  });
}

/** Statuses any authenticated route may answer with, beside its own. */
const PROBLEM_STATUSES = [400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 502, 503];
const problemAnswers = (taken: Readonly<Record<number, unknown>>) =>
  Object.fromEntries(
    PROBLEM_STATUSES.filter((status) => !(status in taken)).map((status) => [
      status,
      { description: 'Problem', content: { 'application/problem+json': { schema: responses.problem } } },
    ]),
  );

function mount(app: FastifyInstance, spec: AnyRoute, limits: ApiLimits): void {
  const { role } = spec;
  app.route({
    method: spec.method,
    url: spec.url,
    schema: {
      operationId: spec.operation,
      summary: spec.summary,
      ...(role === 'open' ? {} : { description: `Role: ${role}.`, security: [{ bearer: [] }] }),
      ...(spec.params === undefined ? {} : { params: spec.params }),
      ...(spec.query === undefined ? {} : { querystring: spec.query }),
      ...(spec.body === undefined ? {} : { body: spec.body }),
      ...(spec.headers === undefined ? {} : { headers: spec.headers }),
      response: { ...spec.answers, ...problemAnswers(spec.answers) },
    },
    ...(spec.slow === true ? {} : { handlerTimeout: limits.handlerTimeout }),
    // Before the body is read: whoever may not call is not listened to.
    preParsing: async (request, _reply, payload) => {
      if (role !== 'open') authorise(request, role);
      if (spec.slow === true) request.raw.socket.setTimeout(0);
      return payload;
    },
    handler: async (request, reply) => {
      const principal = role === 'open' ? NOBODY : authorise(request, role);
      const { params, query, body, headers } = request;
      const signal = whileConnected(reply);
      const answer = await spec.handle({ params, query, body, headers, principal, signal });
      return reply
        .code(answer.status)
        .headers(answer.headers ?? {})
        .send(answer.body);
    },
  });
}

/** Aborted when the connection is closed before the answer is written. */
function whileConnected(reply: FastifyReply): AbortSignal {
  const left = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableEnded) left.abort(new Unavailable('client', 'the client has left', 'ask again'));
  });
  return left.signal;
}

function mountEvents(
  app: FastifyInstance,
  serve: (principal: Principal, request: FastifyRequest, reply: FastifyReply) => Promise<void>,
): void {
  app.route({
    method: 'GET',
    url: '/api/v1/events',
    exposeHeadRoute: false,
    schema: {
      operationId: 'events',
      summary: 'Live events as server-sent events',
      description: 'Role: viewer. Types: transaction, vote, ceremony, pool, peer; problem when the stream breaks.',
      security: [{ bearer: [] }],
      response: {
        200: { description: 'A stream; each data line is one event', content: { 'text/event-stream': { schema: responses.event } } },
        ...problemAnswers({}),
      },
    },
    handler: async (request, reply) => {
      const principal = authorise(request, 'viewer');
      request.raw.socket.setTimeout(0);
      await serve(principal, request, reply);
      return reply;
    },
  });
}

/** Every method a URL does not have answers 405 with Allow (RFC 9110 §15.5.6), not 404. */
function mountMethodErrors(app: FastifyInstance, methods: ReadonlyMap<string, readonly string[]>): void {
  for (const [url, present] of [...methods]) {
    const allowed = [...new Set(present)];
    const others = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].filter((method) => !allowed.includes(method));
    app.route({
      method: others as 'GET'[],
      url,
      exposeHeadRoute: false,
      schema: { hide: true },
      // Before the body, which may be of any type, and after the rate limit.
      preParsing: async (request, reply) => {
        reply.header('allow', allowed.join(', '));
        throw new MethodNotAllowed(request.method, allowed);
      },
      handler: async (request) => {
        throw new MethodNotAllowed(request.method, allowed);
      },
    });
  }
}

async function onlyWallet(service: WalletService): Promise<string | undefined> {
  const [only, ...others] = await service.wallets();
  if (others.length === 0) return only?.wallet_id;
  const remedy = 'name one: /api/v1/wallet/{id}/…; GET /api/v1/wallets lists them';
  throw new Refusal('wallet.ambiguous', 'wallet_id', 'there are several wallets, and none is the default', remedy, 422);
}

/** Remembers the first success. */
function once<T>(read: () => Promise<T>): () => Promise<T> {
  let known: { readonly value: T } | undefined;
  return async () => {
    known ??= { value: await read() };
    return known.value;
  };
}

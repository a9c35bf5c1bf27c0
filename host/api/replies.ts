/** Problems on their way out: as the answer of a route, and to connections whose request never reached one. */
import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { problemDocument, type ProblemKind } from './problems.ts';

export function sendProblem(request: FastifyRequest, reply: FastifyReply, kind: ProblemKind): FastifyReply {
  if (kind.retryAfter !== undefined) reply.header('retry-after', kind.retryAfter);
  if (kind.status === 401) {
    // RFC 6750 §3: no error code when there was no token at all.
    reply.header('www-authenticate', `Bearer realm="threshold-wallet"${kind.code === 'auth.missing' ? '' : ', error="invalid_token"'}`);
  }
  return reply
    .code(kind.status)
    .type('application/problem+json; charset=utf-8')
    .serializer((value: unknown) => JSON.stringify(value))
    .send(problemDocument(kind, request.id));
}

/** What is no HTTP request, comes too slowly, or has headers over the limit never reaches a route; it gets its problem and the door. */
export function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const kind = brokenRequest(error.code);
  const body = JSON.stringify(problemDocument(kind, randomUUID()));
  const head = [
    `HTTP/1.1 ${kind.status} ${STATUS_CODES[kind.status]}`,
    'content-type: application/problem+json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

function brokenRequest(code: string | undefined): ProblemKind {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return { status: 408, code: 'http.slow_request', detail: 'the request did not arrive in time', remedy: 'send it without pauses' };
  }
  if (code === 'HPE_HEADER_OVERFLOW') {
    return { status: 431, code: 'http.headers_too_large', detail: 'the headers are too large', remedy: 'send fewer or shorter headers' };
  }
  return { status: 400, code: 'http.malformed', detail: 'this is no HTTP/1.1 request', remedy: 'use an HTTP client' };
}

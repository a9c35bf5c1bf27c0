/** Child processes of the local cluster. Each logs to its own file; the launcher ends only what it started, by its own handle. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Refusal, Unavailable } from '../base/errors.ts';

export interface NodeProcess {
  readonly id: string;
  readonly pid: number;
  readonly exited: boolean;
  /** Asks it to finish (SIGTERM), and ends it after the grace period. */
  stop(graceMs: number): Promise<void>;
}

/** Compiled entry of the CLI; from TypeScript source the one that the build put into dist/. */
const mainScript = (): string => {
  const own = import.meta.url;
  const compiled = own.endsWith('.ts') ? new URL('../../dist/host/cli/main.js', own) : new URL('../cli/main.js', own);
  return fileURLToPath(compiled);
};

export async function startNodeProcess(options: {
  id: string;
  config: string;
  logFile: string;
  onExit: (id: string, how: string) => void;
}): Promise<NodeProcess> {
  const log = await open(options.logFile, 'a', 0o600);
  const child: ChildProcess = spawn(process.execPath, [mainScript(), 'node', 'start', '--config', options.config], {
    stdio: ['ignore', log.fd, log.fd],
    // Core dumps would hold key shares; a node gets no environment that it does not need.
    env: { PATH: process.env['PATH'] ?? '', NODE_ENV: 'production', ...handedOn(process.env) },
  });
  // Listeners first: the event may come while the log is being closed.
  const spawned = Promise.race([once(child, 'spawn'), once(child, 'error').then(([error]) => Promise.reject(error as Error))]);
  await log.close();
  await spawned;
  let exited = false;
  const ended = once(child, 'exit').then(([code, signal]) => {
    exited = true;
    options.onExit(options.id, signal !== null ? `signal ${String(signal)}` : `exit code ${String(code)}`);
  });
  return {
    id: options.id,
    pid: child.pid!,
    get exited() {
      return exited;
    },
    async stop(graceMs) {
      if (exited) return;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** The time zone of the log, and settings of the pool (`poolVariable` in host/node/config.ts). */
const handedOn = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([name]) => name === 'TZ' || name.startsWith('THRESHOLD_POOL_')));

/** Why a node did not come up: the error that it printed last, on one line, and where the rest is. */
export async function lastWords(file: string): Promise<string> {
  const lines = (await readFile(file, 'utf8').catch(() => '')).trimEnd().split('\n');
  const error = lines.findLastIndex((line) => line.startsWith('error: '));
  const words =
    error < 0
      ? 'no reason given'
      : lines
          .slice(error)
          .map((line) => line.trim().replace(/^error: /, ''))
          .join('; ');
  return `${words} (log: ${file})`;
}

/** @throws Refusal naming the option when a TCP port of the loopback is taken. */
export async function requireFreePort(port: number, option: string): Promise<void> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port, host: '127.0.0.1', exclusive: true }, resolve);
    });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error;
    throw new Refusal(
      'port_in_use',
      option,
      code === 'EACCES' ? `no permission to listen on port ${port}` : `port ${port} is in use; perhaps this cluster is already running`,
      `stop the other program, or choose other ports with ${option} for a new data folder`,
      409,
    );
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

/** Polls until `ready` holds. @throws Unavailable with the reason when the time is over or `failed` says why it never will. */
export async function waitFor(
  what: string,
  timeoutMs: number,
  signal: AbortSignal,
  ready: () => Promise<boolean>,
  failed: () => Promise<string | undefined> = () => Promise.resolve(undefined),
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    signal.throwIfAborted();
    if (await ready()) return;
    const reason = await failed();
    if (reason !== undefined) throw new Unavailable('node', `${what}: ${reason}`, 'see the log named above');
    if (Date.now() > deadline)
      throw new Unavailable(
        'node',
        `${what} took longer than ${timeoutMs / 1000} s`,
        'see the logs in the data folder; on a slow machine try again',
      );
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

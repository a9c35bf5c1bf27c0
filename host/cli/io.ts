/** What a command touches of the outside world; the process in production. */
import type { Readable, Writable } from 'node:stream';

type Terminal = { readonly isTTY?: boolean | undefined };

export interface Io {
  readonly stdin: Readable & Terminal;
  readonly stdout: Writable & Terminal;
  readonly stderr: Writable & Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
}

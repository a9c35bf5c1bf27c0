/** One invocation: its options, its connection (made when first needed), and its two ways of answering. */
import { createInterface } from 'node:readline/promises';
import { createClient, type ApiClient } from './client.ts';
import { connectionOf, type ConnectionOptions } from './connection.ts';
import type { Io } from './io.ts';
import { painter, type Paint } from './text.ts';

export interface GlobalOptions extends ConnectionOptions {
  readonly json?: boolean;
  /** False with --no-color. */
  readonly color: boolean;
}

export interface Session {
  readonly io: Io;
  readonly json: boolean;
  readonly data: string;
  readonly paint: Paint;
  readonly now: number;
  client(): Promise<ApiClient>;
  /** The answer on stdout: one JSON document with --json, otherwise what `render` makes of it. */
  print(answer: unknown, render: () => string): void;
  /** For people only, on stderr; silent with --json. */
  note(text: string): void;
  /** Yes or no, on the terminal; the prompt goes to stderr. */
  confirm(question: string): Promise<boolean>;
}

export function createSession(options: GlobalOptions, io: Io): Session {
  const json = options.json === true;
  let client: Promise<ApiClient> | undefined;
  return {
    io,
    json,
    data: options.data,
    paint: painter(io, options.color),
    now: Date.now(),
    client: () => (client ??= connectionOf(options, io.env).then(createClient)),
    print: (answer, render) => void io.stdout.write(`${json ? JSON.stringify(answer, null, 2) : render()}\n`),
    note: (text) => {
      if (!json) io.stderr.write(`${text}\n`);
    },
    confirm: async (question) => {
      const prompt = createInterface({ input: io.stdin, output: io.stderr });
      try {
        // The end of input is a no.
        const answer = await Promise.race([
          prompt.question(question),
          new Promise<string>((resolve) => prompt.once('close', () => resolve(''))),
        ]);
        return /^y(es)?$/i.test(answer.trim());
      } finally {
        prompt.close();
      }
    },
  };
}

/**
 * A link: one authenticated connection, one long-lived stream per traffic class, greeted both ways. Classes have their own queues and streams,
 * so that a long ceremony message never stands in front of a signature.
 */
import { concatBytes } from '../base/bytes.ts';
import { Unavailable } from '../base/errors.ts';
import { encodeFrame, frameCodec, hello, MAX_FRAME_BYTES, MAX_HELLO_BYTES, message, MessageReader, parse } from './frame.ts';
import { LinkError, type ByteStream, type Closing, type CloseReason, type Connection } from './transport.ts';
import { TRAFFIC_CLASSES, type Frame, type NodeId, type TrafficClass } from './types.ts';

/** Bytes that may wait in the queue of a class; beyond it the sender is told to come back later. */
export const QUEUE_BYTES: Readonly<Record<TrafficClass, number>> = {
  control: 4 << 20,
  signing: 8 << 20,
  ceremony: 16 << 20,
  bulk: 8 << 20,
};
const BATCH_BYTES = 32 << 10;
/** Smaller is sent first. */
const URGENCY: Readonly<Record<TrafficClass, number>> = { control: 0, signing: 1, ceremony: 64, bulk: 127 };

export interface LinkIdentity {
  readonly self: NodeId;
  readonly cluster: string;
}

interface Lane {
  readonly stream: ByteStream;
  readonly reader: MessageReader;
}

/** The dialler's half of the greeting: opens the streams, greets on each, and waits until each is answered. @throws LinkError; the connection is closed then. */
export const openLink = (connection: Connection, identity: LinkIdentity, timeoutMs: number): Promise<Link> =>
  greeting(connection, identity, timeoutMs, async () => {
    const lanes = TRAFFIC_CLASSES.map((traffic) => {
      const stream = connection.open();
      stream.prioritise(URGENCY[traffic]);
      return [traffic, { stream, reader: new MessageReader(stream) }] as const;
    });
    await Promise.all(
      lanes.map(async ([traffic, { stream, reader }]) => {
        await stream.write(greet(connection, identity, traffic));
        const answered = await readHello(reader, connection, identity);
        if (answered !== traffic) throw new LinkError('hello', `stream ${traffic} was answered as ${answered}`);
      }),
    );
    return new Map(lanes);
  });

/** The accepting half: takes the streams of the dialler and answers each greeting. @throws LinkError; the connection is closed then. */
export const acceptLink = (connection: Connection, identity: LinkIdentity, timeoutMs: number): Promise<Link> =>
  greeting(connection, identity, timeoutMs, () => {
    const lanes = new Map<TrafficClass, Lane>();
    return new Promise((resolve, reject) => {
      connection.onStream((stream) => {
        const reader = new MessageReader(stream);
        readHello(reader, connection, identity)
          .then(async (traffic) => {
            if (lanes.has(traffic)) throw new LinkError('hello', `a second stream for ${traffic}`);
            lanes.set(traffic, { stream, reader });
            stream.prioritise(URGENCY[traffic]);
            await stream.write(greet(connection, identity, traffic));
            if (lanes.size === TRAFFIC_CLASSES.length) resolve(lanes);
          })
          // After the link is up this closes it for the stream too many.
          .catch((error: unknown) => {
            reject(error instanceof Error ? error : new Error(String(error)));
            if (error instanceof LinkError) void connection.close(error.reason, error.detail);
          });
      });
    });
  });

const greet = (connection: Connection, { self, cluster }: LinkIdentity, traffic: TrafficClass): Uint8Array =>
  message(hello, { cluster, from: self, to: connection.node, class: traffic });

/** Reads one greeting; checks the certificate again, as it is checked for every stream. */
async function readHello(reader: MessageReader, connection: Connection, { self, cluster }: LinkIdentity): Promise<TrafficClass> {
  const content = await reader.next(MAX_HELLO_BYTES);
  if (content === undefined) throw new LinkError('hello', 'the stream ended before its greeting');
  const greeted = parse(hello, content);
  const verdict = connection.verdict();
  if (!verdict.ok) throw new LinkError('identity', verdict.detail);
  if (greeted.cluster !== cluster) throw new LinkError('hello', `the peer belongs to cluster ${JSON.stringify(greeted.cluster)}`);
  if (greeted.from !== connection.node)
    throw new LinkError('identity', `the certificate names ${connection.node}, the greeting ${greeted.from}`);
  if (greeted.to !== self) throw new LinkError('hello', `the peer wanted ${greeted.to}, this is ${self}`);
  return greeted.class;
}

async function greeting(
  connection: Connection,
  identity: LinkIdentity,
  timeoutMs: number,
  exchange: () => Promise<ReadonlyMap<TrafficClass, Lane>>,
): Promise<Link> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new LinkError('hello', `no complete greeting within ${timeoutMs} ms`)), timeoutMs);
  });
  const gone = connection.closed.then((closing): never => {
    throw new LinkError(closing.reason, closing.detail);
  });
  gone.catch(() => undefined); // a link that came up ends through Link.closed
  try {
    return new Link(connection, await Promise.race([exchange(), late, gone]), identity.self);
  } catch (error) {
    // A stream that broke is the effect; the reason arrives with the end of the connection, when there is one.
    const failure = error instanceof LinkError ? error : await Promise.race([gone, late]).catch((why: unknown) => why);
    const { reason, detail } = failure instanceof LinkError ? failure : new LinkError('lost', String(error));
    await connection.close(reason, detail);
    throw new LinkError(reason, detail);
  } finally {
    clearTimeout(timer);
  }
}

export interface LinkHandlers {
  frame(frame: Frame, bytes: number): void;
}

export class Link {
  readonly connection: Connection;
  readonly closed: Promise<Closing>;
  readonly #lanes: ReadonlyMap<TrafficClass, Lane>;
  readonly #queues = new Map<TrafficClass, Queue>();
  #open = true;

  constructor(connection: Connection, lanes: ReadonlyMap<TrafficClass, Lane>, self: NodeId) {
    this.connection = connection;
    this.#lanes = lanes;
    this.closed = connection.closed;
    void this.closed.then(() => {
      this.#open = false;
      for (const queue of this.#queues.values()) queue.stop();
    });
    for (const [traffic, lane] of lanes) {
      const queue = new Queue(lane.stream, QUEUE_BYTES[traffic], `${self} to ${connection.node}, ${traffic}`);
      this.#queues.set(traffic, queue);
      queue.run().catch((error: unknown) => this.#broken(error));
    }
  }

  get node(): NodeId {
    return this.connection.node;
  }

  /** Starts to hand over the peer's frames; called once, after everything that handles them stands. */
  start(handlers: LinkHandlers): void {
    for (const [traffic, { reader }] of this.#lanes) this.#read(traffic, reader, handlers).catch((error: unknown) => this.#broken(error));
  }

  /** Queues a frame; returns its size. @throws Unavailable when the queue of its class is full or the link is closed. */
  send(frame: Frame): number {
    if (!this.#open) throw new Unavailable(this.node, `the link to ${this.node} is closed`, 'wait until it is active again');
    return this.#queues.get(frame.class)!.push((sequence) => encodeFrame(frame, sequence));
  }

  /** Waits until everything queued was handed to the transport, at most `ms`. */
  async drain(ms: number): Promise<void> {
    const until = performance.now() + ms;
    while (this.#open && performance.now() < until && [...this.#queues.values()].some((queue) => !queue.idle)) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async close(reason: CloseReason, detail: string): Promise<void> {
    this.#open = false;
    for (const queue of this.#queues.values()) queue.stop();
    await this.connection.close(reason, detail);
  }

  async #read(traffic: TrafficClass, reader: MessageReader, handlers: LinkHandlers): Promise<void> {
    for (let expected = 0; ; expected++) {
      const content = await reader.next(MAX_FRAME_BYTES);
      if (content === undefined) throw new LinkError('lost', `the peer ended its ${traffic} stream`);
      const { sequence, ...frame } = parse(frameCodec, content);
      if (frame.class !== traffic) throw new LinkError('malformed', `a frame of class ${frame.class} on the ${traffic} stream`);
      if (sequence !== expected) throw new LinkError('sequence', `frame ${sequence} on the ${traffic} stream, expected ${expected}`);
      if (!this.#open) return;
      handlers.frame(frame, content.length + 4);
    }
  }

  /** A broken rule closes the link at once. A broken stream is given a moment: the peer's reason usually follows it. */
  #broken(error: unknown): void {
    if (error instanceof LinkError && error.reason !== 'lost') return void this.close(error.reason, error.detail);
    setTimeout(() => void this.close('lost', error instanceof Error ? error.message : String(error)), 50).unref();
  }
}

/** The frames of one class that wait for the transport, in order, bounded in bytes. */
class Queue {
  readonly #stream: ByteStream;
  readonly #limit: number;
  readonly #name: string;
  #waiting: Uint8Array[] = [];
  #bytes = 0;
  #sequence = 0;
  #running = true;
  #wake: (() => void) | undefined;

  constructor(stream: ByteStream, limit: number, name: string) {
    this.#stream = stream;
    this.#limit = limit;
    this.#name = name;
  }

  get idle(): boolean {
    return this.#bytes === 0;
  }

  push(encode: (sequence: number) => Uint8Array): number {
    if (this.#bytes >= this.#limit) {
      throw new Unavailable(
        this.#name,
        `${this.#bytes} bytes wait on the link (${this.#name})`,
        'send less at once, or wait until the peer takes what is queued',
      );
    }
    const bytes = encode(this.#sequence);
    this.#sequence++;
    this.#waiting.push(bytes);
    this.#bytes += bytes.length;
    this.#wake?.();
    return bytes.length;
  }

  stop(): void {
    this.#running = false;
    this.#waiting = [];
    this.#bytes = 0;
    this.#wake?.();
  }

  async run(): Promise<void> {
    while (this.#running) {
      const next = this.#next();
      if (next === undefined) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      await this.#stream.write(next);
      if (this.#running) this.#bytes -= next.length;
    }
  }

  /** The next write: whole frames, each with its length in one piece. Small ones that wait together travel together, in fewer packets. */
  #next(): Uint8Array | undefined {
    let count = 0;
    let length = 0;
    for (const { length: more } of this.#waiting) {
      if (count > 0 && length + more > BATCH_BYTES) break;
      count++;
      length += more;
    }
    const frames = this.#waiting.splice(0, count);
    return frames.length < 2 ? frames[0] : concatBytes(...frames);
  }
}

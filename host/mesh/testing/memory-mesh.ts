/** Meshes in one process without sockets, for tests of what stands on a mesh: links are cut and joined, and frames lost, by command. */
import { Unavailable } from '../../base/errors.ts';
import type { Frame, LinkStatus, Mesh, NodeId, PeerState } from '../types.ts';

export interface MemoryMesh {
  readonly meshes: readonly Mesh[];
  /** Cuts (`false`) or joins the link between two nodes; both are told, and frames in flight between them are lost. */
  link(a: number, b: number, up: boolean): void;
  /** Frames from now on: return what arrives instead, any number of frames. */
  intercept(hook: (from: NodeId, to: NodeId, frame: Frame) => readonly Frame[]): void;
  /** Puts a frame on the wire as `from`, as a misbehaving node would. */
  inject(from: number, to: number, frame: Frame): void;
  /** Everything that was sent has arrived. */
  settled(): Promise<void>;
}

export function memoryMesh(n: number): MemoryMesh {
  const nodes = Array.from({ length: n }, (_, i) => `node-${i + 1}`);
  const handlers = nodes.map(() => new Map<string, (from: NodeId, frame: Frame) => void>());
  const listeners = nodes.map((): ((node: NodeId, status: LinkStatus) => void)[] => []);
  const cut = new Set<string>();
  const epoch = new Map<string, number>();
  const pair = (a: number, b: number) => `${Math.min(a, b)}-${Math.max(a, b)}`;
  let hook = (_from: NodeId, _to: NodeId, frame: Frame): readonly Frame[] => [frame];
  let inFlight = 0;

  function post(from: number, to: number, frame: Frame): void {
    const sentIn = epoch.get(pair(from, to));
    inFlight++;
    setImmediate(() => {
      inFlight--;
      if (cut.has(pair(from, to)) || epoch.get(pair(from, to)) !== sentIn) return;
      for (const arriving of hook(nodes[from]!, nodes[to]!, frame)) handlers[to]!.get(arriving.kind)?.(nodes[from]!, arriving);
    });
  }

  const meshes = nodes.map((self, me): Mesh => ({
    self,
    members: nodes,
    start: async () => undefined,
    stop: async () => undefined,
    send(to, frame) {
      const other = nodes.indexOf(to);
      if (cut.has(pair(me, other))) throw new Unavailable(to, `no link to ${to}`, 'wait');
      post(me, other, frame);
    },
    handle: (kind, handler) => void handlers[me]!.set(kind, handler),
    peers: () =>
      nodes
        .filter((node) => node !== self)
        .map((node) => ({ node, status: cut.has(pair(me, nodes.indexOf(node))) ? 'dead' : 'active' }) as PeerState),
    onPeer: (listener) => void listeners[me]!.push(listener),
  }));

  return {
    meshes,
    link(a, b, up) {
      const key = pair(a, b);
      epoch.set(key, (epoch.get(key) ?? 0) + 1);
      if (up) cut.delete(key);
      else cut.add(key);
      for (const [me, other] of [
        [a, b],
        [b, a],
      ] as const)
        for (const listener of listeners[me]!) listener(nodes[other]!, up ? 'active' : 'dead');
    },
    intercept: (next) => void (hook = next),
    inject: post,
    async settled() {
      do await new Promise((resolve) => setImmediate(resolve));
      while (inFlight > 0);
    },
  };
}

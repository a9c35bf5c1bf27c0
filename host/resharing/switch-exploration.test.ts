/**
 * Every reachable state of the switch, breadth first: all interleavings of votes, runs, statements and their deliveries (to each node on its own,
 * late, or never), REFUSE at any time, crashes at any point, and members that equivocate: that vote for everything, deal in everything, and sign
 * both ACK and REFUSE.
 *
 * A statement that was made stays in the network: it can reach any node at any later time. So delay, loss, repetition and reordering need no
 * model of their own. What a liar signs is always there.
 */
import { expect, test } from 'vitest';
import { Refusal } from '../base/errors.ts';
import { planQuorum } from './statements.ts';
import {
  afterCrash,
  certified,
  committedHeard,
  decline,
  erased,
  initial,
  mayErase,
  prepare,
  refusalHeard,
  share,
  vote,
  type Move,
  type SwitchState,
} from './switch.ts';

interface PlanOfTest {
  readonly from: number;
  readonly to: number;
  readonly old: readonly string[];
  readonly sharers: readonly string[];
  readonly members: readonly string[];
  readonly t: number;
}
interface Configuration {
  readonly honest: readonly string[];
  readonly liars: readonly string[];
  /** Of epoch 0. */
  readonly t: number;
  readonly committee: readonly string[];
  readonly plans: readonly PlanOfTest[];
}

/** Statements made so far, as bits, and the local state of each honest node. */
interface Global {
  readonly said: number;
  readonly nodes: readonly number[];
}
/** What was said and stays said: `vote A 0`, `deal A 0`, `ack A 0`, `refuse A 0`, `committed A 0`. */
type Kind = 'vote' | 'deal' | 'ack' | 'refuse' | 'committed';

const RULES = { afterCrash, vote, share, prepare, decline, refusalHeard, certified, committedHeard, erased };

function explore({ honest, liars, t, committee, plans }: Configuration, changed: Partial<typeof RULES> = {}) {
  const rules = { ...RULES, ...changed };
  const move = (node: string, p: number): Move => {
    const plan = plans[p]!;
    const member = plan.members.indexOf(node);
    return { sid: `s${p}`, from: plan.from, to: plan.to, n: plan.members.length, t: plan.t, old: plan.old.includes(node), member: member < 0 ? undefined : member }; // prettier-ignore
  };
  // Local states are few: each is kept once, by number, and each step of each is computed once.
  const locals: SwitchState[] = [];
  const numbers = new Map<string, number>();
  const numberOf = (state: SwitchState): number => {
    const key = JSON.stringify(state, (_, value: unknown) => value ?? null);
    const known = numbers.get(key);
    if (known !== undefined) return known;
    numbers.set(key, locals.push(state) - 1);
    return locals.length - 1;
  };
  const steps = new Map<string, number | undefined>();
  const step = (name: string, from: number, next: (state: SwitchState) => SwitchState): number | undefined => {
    const key = `${name} ${from}`;
    if (steps.has(key)) return steps.get(key);
    let to: number | undefined;
    try {
      to = numberOf(next(locals[from]!));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
    steps.set(key, to);
    return to;
  };

  const bits = new Map<string, number>();
  for (const kind of ['vote', 'deal', 'ack', 'refuse', 'committed'] satisfies Kind[])
    for (const node of honest)
      for (const [p, plan] of plans.entries()) {
        const of = { vote: plan.old, deal: plan.sharers, ack: plan.members, refuse: plan.members, committed: plan.members }[kind];
        if (of.includes(node)) bits.set(`${kind} ${node} ${p}`, bits.size);
      }
  expect(bits.size).toBeLessThanOrEqual(31);
  const bit = (kind: Kind, node: string, p: number): number =>
    bits.has(`${kind} ${node} ${p}`) ? 1 << bits.get(`${kind} ${node} ${p}`)! : 0;
  const said = (g: Global, kind: Kind, node: string, p: number): boolean => liars.includes(node) || (g.said & bit(kind, node, p)) !== 0;
  const approved = (g: Global, p: number): boolean =>
    plans[p]!.old.filter((node) => said(g, 'vote', node, p)).length >= planQuorum(plans[p]!.old.length);
  const certifiable = (g: Global, p: number): boolean => approved(g, p) && plans[p]!.members.every((node) => said(g, 'ack', node, p));

  /** All that one event can lead to. What is durable counts as said at once: a statement that a crash kept back is one that is never delivered. */
  function* successors(g: Global): Generator<Global> {
    for (const [at, node] of honest.entries()) {
      const local = g.nodes[at]!;
      const found: (Global | undefined)[] = [];
      const to = (name: string, next: (state: SwitchState) => SwitchState, says = 0): void => {
        const after = step(`${node} ${name}`, local, next);
        if (after !== undefined && (after !== local || (g.said | says) !== g.said))
          found.push({ said: g.said | says, nodes: g.nodes.with(at, after) });
      };
      to('crash', rules.afterCrash);
      for (const [p, plan] of plans.entries()) {
        const m = move(node, p);
        const isSharer = plan.sharers.includes(node);
        to(`vote ${p}`, (s) => rules.vote(s, m), bit('vote', node, p));
        if (approved(g, p) && (isSharer || m.member !== undefined))
          to(`share ${p}`, (s) => rules.share(s, m, isSharer), bit('deal', node, p));
        if (plan.sharers.every((sharer) => said(g, 'deal', sharer, p))) to(`prepare ${p}`, (s) => rules.prepare(s, m), bit('ack', node, p));
        to(`refuse ${p}`, (s) => rules.decline(s, m), bit('refuse', node, p));
        if (plan.members.some((other) => other !== node && said(g, 'refuse', other, p)))
          to(`refused ${p}`, (s) => rules.refusalHeard(s, m));
        if (!certifiable(g, p)) continue;
        to(`cert ${p}`, (s) => rules.certified(s, m), bit('committed', node, p));
        // Heard from some of them changes nothing that the machine does by itself, so all COMMITTED and the erasure are one event here.
        if (plan.members.every((other) => said(g, 'committed', other, p)))
          to(`erase ${p}`, (s) => rules.erased(plan.members.reduce((state, _, k) => rules.committedHeard(state, m.sid, k), s)));
      }
      for (const next of found) if (next !== undefined) yield next;
    }
  }

  const counts = { states: 0, locals: 0, withCertificate: 0, withErasure: 0, forked: 0 };
  function check(g: Global): void {
    counts.states++;
    const states = honest.map((_, at) => locals[g.nodes[at]!]!);
    const certain = plans.map((_, p) => certifiable(g, p));
    // What the honest nodes can do among themselves, with what any of them knows: all go to the highest epoch that one has a certificate of.
    const top = Math.max(...states.map(({ epoch }) => epoch ?? -1));
    const p = plans.findIndex((plan) => plan.to === top);
    const able = honest.filter((node, at) => {
      const state = states[at]!;
      if (p < 0) return committee.includes(node) && state.epoch === 0 && state.share;
      return (state.epoch === top && state.share) || state.prepared.some(({ move: { sid } }) => sid === `s${p}`);
    });
    if (able.length < (p < 0 ? t : plans[p]!.t)) throw new Error(`the key is lost at epoch ${top}: ${JSON.stringify(states)}`);
    for (const state of states) {
      // Nobody is at an epoch, and nobody has destroyed an old share, without a certificate.
      if (state.epoch !== undefined && state.epoch > 0 && !certain[plans.findIndex(({ to }) => to === state.epoch)])
        throw new Error(`committed without a certificate: ${JSON.stringify(state)}`);
      if (state.committed?.erased === true && !mayErase({ ...state, committed: { ...state.committed, erased: false } }))
        throw new Error(`erased too early: ${JSON.stringify(state)}`);
    }
    // No two committees for one epoch: neither with one number, nor from one epoch unless a liar has signed both ACK and REFUSE.
    for (const [a, one] of plans.entries())
      for (const [b, other] of plans.entries()) {
        if (a >= b || !certain[a] || !certain[b]) continue;
        if (one.to === other.to) throw new Error('two committees with one epoch number');
        if (one.from !== other.from) continue;
        counts.forked++;
        if (!one.members.concat(other.members).some((node) => liars.includes(node)))
          throw new Error('two committees for one epoch, and no liar');
      }
    if (certain.includes(true)) counts.withCertificate++;
    if (states.some(({ committed }) => committed?.erased === true)) counts.withErasure++;
  }

  const start: Global = { said: 0, nodes: honest.map((node) => numberOf(initial(committee.includes(node) ? 0 : undefined))) };
  const keyOf = (g: Global): string => `${g.said},${g.nodes.join()}`;
  const seen = new Set([keyOf(start)]);
  let frontier: Global[] = [start];
  while (frontier.length > 0) {
    const next: Global[] = [];
    for (const g of frontier) {
      check(g);
      for (const successor of successors(g)) {
        const key = keyOf(successor);
        if (seen.has(key)) continue;
        seen.add(key);
        next.push(successor);
      }
    }
    frontier = next;
  }
  return { ...counts, locals: locals.length };
}

const [abc, abm] = [
  ['A', 'B', 'C'],
  ['A', 'B', 'M'],
];
const NEWCOMER: Configuration = {
  honest: abc,
  liars: ['M'],
  t: 2,
  committee: abc,
  plans: [
    { from: 0, to: 1, old: abc, sharers: ['A', 'B'], members: abm, t: 2 },
    { from: 0, to: 2, old: abc, sharers: ['A', 'C'], members: abc, t: 2 },
  ],
};
const OLD_LIAR: Configuration = {
  honest: abc,
  liars: ['M'],
  t: 2,
  committee: [...abc, 'M'],
  plans: [
    { from: 0, to: 1, old: [...abc, 'M'], sharers: ['A', 'M'], members: ['B', 'C'], t: 2 },
    { from: 0, to: 2, old: [...abc, 'M'], sharers: ['C', 'M'], members: ['A', 'C'], t: 2 },
  ],
};
const CHAIN: Configuration = {
  ...NEWCOMER,
  plans: [NEWCOMER.plans[0]!, { from: 1, to: 2, old: abm, sharers: ['A', 'B'], members: abc, t: 2 }],
};
const HONEST: Configuration = { ...NEWCOMER, liars: [], plans: [{ ...NEWCOMER.plans[0]!, members: ['A', 'B'] }, NEWCOMER.plans[1]!] };

/** For the broken rules, which show themselves in the smallest case. */
const PAIR: Configuration = {
  honest: ['A', 'B'],
  liars: [],
  t: 2,
  committee: ['A', 'B'],
  plans: [1, 2].map((to) => ({ from: 0, to, old: ['A', 'B'], sharers: ['A', 'B'], members: ['A', 'B'], t: 2 })),
};

test.each([
  ['an equivocating newcomer, and a second plan of the same epoch without it', NEWCOMER, { states: 126_710, forked: 2708 }],
  ['an equivocating member of four, and two plans for different nodes', OLD_LIAR, { states: 27_387, forked: 0 }],
  ['an equivocating newcomer, and a plan of the new epoch back to the old nodes', CHAIN, { states: 16_072, forked: 0 }],
  ['no liar: one certificate per epoch', HONEST, { states: 76_669, forked: 0 }],
])('%s: no key is lost, nothing is erased too early, no epoch has two committees', (_what, configuration, expected) => {
  const counts = explore(configuration);
  expect(counts).toMatchObject(expected);
  // Both ends were reached: the exploration would be worth nothing if the runs never came so far.
  expect(counts.withCertificate).toBeGreaterThan(1000);
  expect(counts.withErasure).toBeGreaterThan(1000);
});

/** The exploration would notice: each of these rules is broken in one way, and a bad state is reached. */
test.each<[string, Configuration, Partial<typeof RULES>, string]>([
  [
    'a refusal that erases the pending share',
    NEWCOMER,
    { refusalHeard: (s, m) => ({ ...refusalHeard(s, m), prepared: s.prepared.filter(({ move }) => move.sid !== m.sid) }) },
    'the key is lost',
  ],
  [
    'a certificate that erases later pending shares',
    NEWCOMER,
    { certified: (s, m) => ({ ...certified(s, m), prepared: [] }) },
    'the key is lost',
  ],
  ['a restart that gives up what was prepared', PAIR, { afterCrash: (s) => ({ ...afterCrash(s), prepared: [] }) }, 'the key is lost'],
  [
    'a refusal after the acknowledgement',
    PAIR,
    { decline: (s, m) => refusalHeard(m.member === undefined ? decline(s, m) : { ...s, refused: [m.sid] }, m) },
    'two committees for one epoch, and no liar',
  ],
  [
    'an erasure at the certificate',
    PAIR,
    { certified: (s, m) => ((c) => (c === s ? s : { ...c, retained: [], committed: { ...c.committed!, erased: true } }))(certified(s, m)) },
    'erased too early',
  ],
])('it finds %s', (_what, configuration, rules, problem) => {
  expect(() => explore(configuration, rules)).toThrow(problem);
});

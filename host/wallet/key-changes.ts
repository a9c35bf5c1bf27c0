/**
 * Changes of a key's shares: refresh, and resharing to other nodes or another threshold (cggmp24.md §6.10). One node of the old committee
 * coordinates; it has no power over the result. Every old member votes for itself, every participant checks plan, vote and public key, and each
 * moves on a certificate only (host/resharing, key-switches.ts).
 *
 * A refresh changes no node and no threshold, so members vote for it by themselves. For another committee every old and new member needs the
 * word of its own operator first ({@link KeyChanges.agree}).
 */
import { Fault, Refusal, Unavailable } from '../base/errors.ts';
import type { NodeId } from '../mesh/types.ts';
import { participants, rolesOf, runBinding, runId, type Plan, type Ticket } from '../resharing/plan.ts';
import { reshare, type NewShare } from '../resharing/reshare.ts';
import { toEcdsa, toFrost } from '../resharing/shared-key.ts';
import { approvalMessage, planQuorum, stated, type Statement } from '../resharing/statements.ts';
import { nextEpoch } from '../resharing/switch.ts';
import { keyOfPlan, publicKeyOf } from './accounts.ts';
import type { Ceremonies } from './ceremonies.ts';
import type { Erasures } from './erasures.ts';
import { online, type WalletContext } from './context.ts';
import { methods } from './key-change-messages.ts';
import { purposeOf, sharedOf, textOf, type KeySwitches } from './key-switches.ts';
import { sealable, unknownWallet, type Keyring, type KeyDescription, type WalletKey } from './keyring.ts';
import { MAX_NODES } from './messages.ts';
import type { KeyStatus } from './types.ts';

const CONSENT_MS = 24 * 60 * 60_000;
/** Safe primes and proofs of a whole committee. */
const AUX_TIMEOUT_MS = 30 * 60_000;

const AUX_WAIT_MS = 5_000;
const AUX_LOOK_MS = 50;

type Description = Pick<KeyDescription, 'walletName' | 'createdAt'>;

export class KeyChanges {
  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    private readonly ceremonies: Ceremonies,
    private readonly switches: KeySwitches,
    private readonly erasures: Erasures,
  ) {}

  serve(): void {
    const { calls } = this.context;
    calls.serve(methods.aux, async (from, { walletId, threshold, nodes }) => {
      // Safe primes of a whole committee are not for anybody who asks.
      if (this.keyring.find(walletId)?.committee.includes(from) === false)
        throw new Refusal('key_change', 'nodes', `${from} is not of the committee of this key`, 'let a member ask', 403);
      return { hash: await this.#makeAux(walletId, threshold, nodes) };
    });
    calls.serve(methods.run, async (_from, { ticket, approvals, ...description }) => {
      const run = await this.#enter(ticket, approvals, description);
      // The run goes on after the answer; its outcome is in the record of the ceremony, and failures were logged there.
      void run().catch(() => undefined);
      return { ok: 1 };
    });
  }

  /** This node's operator agrees that the key goes to these nodes with this threshold, within a day. */
  async agree(walletId: string, change: { threshold: number; nodes: readonly NodeId[]; publicKey?: string }): Promise<void> {
    const key = this.keyring.find(walletId);
    const nodes = this.#committee(change.nodes, change.threshold);
    const known = key && publicKeyOf(key);
    const publicKey = change.publicKey ?? known;
    if (publicKey === undefined) {
      const remedy = 'give the public key as a node of the wallet shows it, and compare it by another way';
      throw new Refusal('key_change', 'public_key', 'this node does not hold the key, so it must be told which one it joins', remedy, 422);
    }
    if (known !== undefined && known !== publicKey)
      throw new Refusal('key_change', 'public_key', 'this node knows another public key of the wallet', 'compare the keys', 409);
    const expiresAt = this.context.clock() + CONSENT_MS;
    await this.switches.storeConsent(walletId, { publicKey, threshold: change.threshold, nodes, expiresAt });
  }

  async status(walletId: string): Promise<KeyStatus> {
    const change = await this.switches.of(walletId);
    const { committed, epoch, share, retained } = change.state;
    const key = this.keyring.find(walletId);
    if (key === undefined && epoch === undefined) throw unknownWallet(walletId);
    const waiting = change.waiting();
    const last = change.certificates.at(-1)?.ticket.plan;
    const erasures = await this.erasures.of(walletId);
    return {
      wallet_id: walletId,
      epoch: epoch ?? 0,
      holds_share: share,
      state: waiting !== undefined ? 'prepared' : committed === undefined ? 'active' : committed.erased ? 'erased' : 'committed',
      threshold: key?.share.t ?? last?.nextT ?? null,
      nodes: key?.committee ?? (last === undefined ? [] : this.switches.nodesOf(last.newMembers)),
      next_epoch: waiting?.ticket.plan.nextEpoch ?? null,
      committed_nodes:
        committed === undefined || last === undefined ? [] : committed.by.map((j) => this.switches.nodesOf(last.newMembers)[j]!),
      old_shares: [...retained],
      erased_nodes: erasures?.nodes ?? [],
      erasures_needed: erasures?.needed ?? null,
    };
  }

  /** Destroys the old shares although some new members never said that they are committed; refused below min(t* + 1, n*) of them. */
  async erase(walletId: string): Promise<KeyStatus> {
    await (await this.switches.of(walletId)).erase(true);
    return this.status(walletId);
  }

  /**
   * New shares for the same key: of the same nodes and threshold (a refresh), or of others. Resolves when this node is committed; the others
   * follow, and the old shares are destroyed when all new members are.
   */
  async change(walletId: string, wanted: { threshold?: number; nodes?: readonly NodeId[] } = {}): Promise<KeyStatus> {
    const { context, switches } = this;
    const key = this.keyring.active(walletId);
    const kind = wanted.threshold === undefined && wanted.nodes === undefined ? 'refresh' : 'reshare';
    const threshold = wanted.threshold ?? key.share.t;
    const nodes = this.#committee(wanted.nodes ?? key.committee, threshold);
    const old = this.#requireLinked(key, kind, nodes);
    if (switches.running.has(walletId))
      throw new Refusal('key_change', 'wallet_id', 'a change of this key is under way here', 'wait until it has ended', 409);
    switches.running.add(walletId);
    try {
      if (kind === 'reshare') await this.agree(walletId, { threshold, nodes });
      const plan = await this.#plan(key, kind, threshold, nodes, old);
      const ticket: Ticket = { plan, nonce: context.random.bytes(16) };
      try {
        const approvals = await this.#collectVotes(ticket, old);
        await this.#runWithAll(ticket, approvals, { walletName: key.walletName, createdAt: key.createdAt });
      } catch (error) {
        await switches.release(ticket);
        throw error;
      }
      return await this.status(walletId);
    } finally {
      switches.running.delete(walletId);
    }
  }

  /** The linked members of the old committee, when enough nodes are there. @throws Unavailable naming who is missing. */
  #requireLinked(key: WalletKey, kind: Plan['kind'], nodes: readonly NodeId[]): NodeId[] {
    const reachable = online(this.context);
    const missing = nodes.filter((node) => !reachable.has(node));
    if (missing.length > 0) {
      const what = kind === 'refresh' ? 'a refresh needs all nodes of the wallet' : 'all new nodes must take part';
      throw new Unavailable('mesh', `${what}; not linked: ${missing.join(', ')}`, 'start them, or leave lost nodes out with keys reshare');
    }
    const old = key.committee.filter((node) => reachable.has(node));
    const needed = Math.max(planQuorum(key.share.n), key.share.t);
    if (old.length >= needed) return old;
    throw new Unavailable('mesh', `${old.length} nodes of the wallet are linked, ${needed} needed`, 'start more of them, then try again');
  }

  async #plan(key: WalletKey, kind: Plan['kind'], nextT: number, nodes: readonly NodeId[], old: readonly NodeId[]): Promise<Plan> {
    const { calls, self } = this.context;
    const { walletId, committee } = key;
    const asking = old.map(async (node) => ({ node, ...(await calls.call(node, methods.highest, { walletId })) }));
    // A node that cannot say where it stands deals nothing; it must not keep the others from going on without it.
    const answers = (await Promise.allSettled(asking)).flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    const { highest: own } = (await this.switches.of(walletId)).state;
    const { scheme, publicKey, chainCode, internal, epoch, t, X } = sharedOf(key);
    const able = answers.filter((answer) => answer.share && answer.epoch === epoch).map(({ node }) => node);
    // This node first, so that it sees the end of the run; then those that stay.
    const order = [self, ...able.filter((node) => nodes.includes(node)), ...able];
    const sharers = (kind === 'refresh' ? committee : [...new Set(order)].slice(0, t)).map((node) => committee.indexOf(node));
    const leader = nodes.includes(self) ? self : nodes[0]!;
    const asked = { walletId, threshold: nextT, nodes: [...nodes] };
    const auxHash =
      scheme === 'frost' ? new Uint8Array() : (await calls.call(leader, methods.aux, asked, { timeoutMs: AUX_TIMEOUT_MS })).hash;
    const identities = (names: readonly NodeId[]) => names.map((node) => this.context.roster.publicKey(node));
    return {
      kind,
      keyId: walletId,
      scheme,
      publicKey,
      chainCode,
      internal,
      epoch,
      nextEpoch: nextEpoch(Math.max(own, epoch), answers.map(({ highest }) => highest)), // prettier-ignore
      t,
      oldMembers: identities(committee),
      X,
      sharers: sharers.sort((a, b) => a - b),
      nextT,
      newMembers: identities(nodes),
      auxHash,
      ...purposeOf(key),
    };
  }

  /** Makes auxiliary information with the new committee, which this node is of; its hash. */
  async #makeAux(walletId: string, threshold: number, nodes: readonly NodeId[]): Promise<Uint8Array> {
    await this.switches.requireConsent(walletId, threshold, nodes, undefined);
    const before = new Set(this.keyring.renewed());
    const common = { walletId, walletName: '', threshold, committee: [...nodes], signers: [], count: 0 };
    await this.ceremonies.start({ kind: 'aux', protocol: 'cggmp24', ...common });
    const made = this.keyring.renewed().find((hash) => !before.has(hash));
    if (made === undefined) throw new Unavailable('mesh', 'the auxiliary information was replaced meanwhile', 'try again');
    return new Uint8Array(Buffer.from(made, 'hex'));
  }

  async #collectVotes(ticket: Ticket, old: readonly NodeId[]): Promise<Statement[]> {
    const { calls } = this.context;
    const all = this.switches.nodesOf(ticket.plan.oldMembers);
    const message = approvalMessage(runId(ticket, this.context.parameters), ticket);
    const answers = await Promise.allSettled(
      old.map(async (node) => {
        const approval = { index: all.indexOf(node), ...(await calls.call(node, methods.vote, { ticket })) };
        // Counted, it would spoil the votes of all.
        if (stated(ticket.plan.oldMembers, message, approval)) return approval;
        throw new Refusal('key_change', 'votes', 'not a signature on this plan', 'leave the node out', 403);
      }),
    );
    const approvals = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    const quorum = planQuorum(all.length);
    if (approvals.length >= quorum) return approvals.sort((a, b) => a.index - b.index);
    const reasons = answers.flatMap((answer, k) => (answer.status === 'rejected' ? [`${old[k]!}: ${textOf(answer.reason)}`] : []));
    const remedy = 'let the operators of the wallet’s nodes agree to the same change (keys agree), then try again';
    throw new Refusal('key_change', 'votes', `${approvals.length} of ${quorum} votes for the change; ${reasons.join('; ')}`, remedy, 409);
  }

  async #runWithAll(ticket: Ticket, approvals: readonly Statement[], description: Description): Promise<void> {
    const { context } = this;
    const parties = this.switches.nodesOf(participants(ticket.plan));
    const run = await this.#enter(ticket, approvals, description);
    const request = { ticket, approvals: [...approvals], ...description };
    const mine = run();
    const invited = Promise.all(
      parties.filter((node) => node !== context.self).map((node) => context.calls.call(node, methods.run, request)),
    ).catch(async (error: unknown) => {
      const change = await this.switches.of(ticket.plan.keyId);
      this.ceremonies.cancelChange(change.moveOf(ticket).sid, textOf(error));
      throw error;
    });
    const [invitedResult, runResult] = await Promise.allSettled([invited, mine]);
    if (invitedResult.status === 'rejected') throw invitedResult.reason;
    if (runResult.status === 'fulfilled') return;
    const error: unknown = runResult.reason;
    if (!(error instanceof Fault)) throw error;
    throw new Fault(error.culprits.map((p) => context.members.indexOf(parties[p] ?? '')), error.reason, error.evidence); // prettier-ignore
  }

  /** Checks all that this node must check before the run, and gives back the run. */
  async #enter(ticket: Ticket, approvals: readonly Statement[], description: Description): Promise<() => Promise<void>> {
    const { context, keyring, switches } = this;
    const { plan } = ticket;
    const { keyId: walletId, kind, scheme: protocol } = plan;
    const key = keyring.find(walletId);
    const { sharer, member } = rolesOf(plan, context.identity.publicKey);
    if (sharer === undefined && member === undefined)
      throw new Refusal('key_change', 'plan', 'this node has no part in the change', 'ask its participants', 403);
    const nodes = switches.nodesOf(plan.newMembers);
    const parties = switches.nodesOf(participants(plan));
    // The key that this node has, or was told to join by its operator; never the one that the plan names.
    if (key === undefined) await switches.requireConsent(walletId, plan.nextT, nodes, keyOfPlan(plan));
    requireKnownPurpose(plan);
    const publicKey = key === undefined ? plan.publicKey : sharedOf(key).publicKey;
    if (member !== undefined && protocol === 'cggmp24') await this.#requireAux(plan.auxHash);
    const change = await switches.of(walletId);
    await change.begin(ticket, approvals, sharer !== undefined);
    switches.hold(walletId, change);
    const { sid } = change.moveOf(ticket);
    const facts = { binding: runBinding(ticket, context.parameters), plan };
    const prepared = async (share: NewShare): Promise<void> => {
      const content = sealable(walletKeyOf(share, { ...description, walletId, committee: nodes }, plan));
      keyring.frozen.add(walletId);
      await change.prepare(ticket, approvals, share.digest, content);
      content.fill(0);
    };
    return async () => {
      switches.running.add(walletId);
      try {
        const certificate = await this.ceremonies.change(sid, { kind, protocol, walletId, facts, parties }, (rounds) =>
          reshare({
            rounds,
            ticket,
            approvals,
            publicKey,
            ...(key !== undefined && { own: switches.heldOf(key) }),
            parameters: context.parameters,
            random: context.random,
            sign: (message) => context.identity.sign(message),
            prepared,
          }),
        );
        await switches.certify(certificate);
      } catch (error) {
        // A member that has acknowledged nothing says so, and the old members are free for another plan.
        if (member !== undefined && change.waiting() === undefined && change.state.epoch !== plan.nextEpoch) await switches.decline(ticket);
        throw error;
      } finally {
        switches.running.delete(walletId);
      }
    };
  }

  /** A faster node may be done with the auxiliary ceremony while this one still stores its result: waits for it, not for long. */
  async #requireAux(hash: Uint8Array): Promise<void> {
    for (let waited = 0; this.keyring.renewedAux(hash) === undefined; waited += AUX_LOOK_MS) {
      if (waited > AUX_WAIT_MS)
        throw new Refusal('key_change', 'auxHash', 'this node lacks the auxiliary information of the plan', 'make it again', 409);
      await new Promise((resolve) => setTimeout(resolve, AUX_LOOK_MS));
    }
  }

  /** In the order of the cluster. @throws Refusal for what is no committee. */
  #committee(nodes: readonly NodeId[], threshold: number): NodeId[] {
    const { members } = this.context;
    const unknown = nodes.find((node) => !members.includes(node));
    const refuse = (field: string, message: string, remedy: string): never => {
      throw new Refusal('key_change', field, message, remedy, 422);
    };
    if (unknown !== undefined) refuse('nodes', `${unknown} is not a node of this cluster`, `name nodes of ${members.join(', ')}`);
    const sorted = members.filter((node) => nodes.includes(node));
    if (sorted.length !== nodes.length) refuse('nodes', 'a node is named twice', 'name every node once');
    if (threshold < 2 || threshold > sorted.length || sorted.length > MAX_NODES)
      refuse('threshold', `a ${threshold}-of-${sorted.length} key is not possible`, `choose a threshold from 2 to ${sorted.length}`);
    return sorted;
  }
}

/** Of no other does this node know what addresses the key has. @throws Refusal */
function requireKnownPurpose({ scheme, purpose }: Plan): void {
  if (purpose === undefined || (purpose === 'p2wsh' && scheme === 'cggmp24')) return;
  throw new Refusal('key_change', 'purpose', `no node holds a ${scheme} key for ${purpose}`, 'run the same version on all nodes', 422);
}

/** The new share as the keyring keeps it. */
function walletKeyOf({ key, rid }: NewShare, description: KeyDescription, { auxHash, purpose }: Plan): WalletKey {
  if (key.scheme === 'frost') return { ...description, protocol: 'frost', addressType: 'p2tr', state: 'active', share: toFrost(key) };
  const addressType = purpose === 'p2wsh' ? purpose : 'p2wpkh';
  return { ...description, protocol: 'cggmp24', addressType, state: 'active', share: toEcdsa(key, rid), auxHash };
}

/**
 * The switches of this node's keys (host/resharing/key-switch.ts), and what the node says and hears about them outside of a run: votes, refusals,
 * certificates, and answers to those who missed them (key-questions.ts). A prepared share waits for Cert or REFUSE; nothing here decides alone.
 */
import { equalBytes, fromHex, hex } from '../base/bytes.ts';
import { decode, encode } from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import type { NodeId } from '../mesh/types.ts';
import { KeySwitch } from '../resharing/key-switch.ts';
import { checkHeld, checkPlan, rolesOf, type Held, type Plan, type Ticket } from '../resharing/plan.ts';
import { ofEcdsa, ofFrost, type SharedKey } from '../resharing/shared-key.ts';
import { ackMessage, committedMessage, refusalMessage, type Certificate, type Statement } from '../resharing/statements.ts';
import { vaultStorage } from '../resharing/vault-storage.ts';
import { publicKeyOf } from './accounts.ts';
import { Acknowledgements } from './acknowledgements.ts';
import type { Ceremonies } from './ceremonies.ts';
import { online, type WalletContext } from './context.ts';
import { consent as consentCodec, methods, type Consent } from './key-change-messages.ts';
import { GivenUp } from './given-up.ts';
import type { Keyring, WalletKey } from './keyring.ts';
import type { Nonces } from './nonces.ts';
import type { Pools } from './pools.ts';

const CONSENT = '.consent';
/** Certificates in one answer. */
const MAX_ANSWER = 8;

export const sharedOf = (key: WalletKey): SharedKey => (key.protocol === 'cggmp24' ? ofEcdsa(key.share) : ofFrost(key.share));
/** The type of a key's addresses as a plan names it: a type that is not the usual one. */
export const purposeOf = ({ addressType }: WalletKey): Pick<Plan, 'purpose'> => (addressType === 'p2wsh' ? { purpose: addressType } : {});
export const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export class KeySwitches {
  readonly #switches = new Map<string, Promise<KeySwitch>>();
  /** Wallets whose change runs here now. */
  readonly running = new Set<string>();
  readonly givenUp: GivenUp;
  readonly stated: Acknowledgements;

  private constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    private readonly pools: Pools,
    private readonly ceremonies: Ceremonies,
    private readonly nonces: Nonces,
  ) {
    this.givenUp = new GivenUp(context.clock);
    this.stated = new Acknowledgements(context);
  }

  /** Carries through what a crash interrupted, before any key is used: the keyring is read again where a share was replaced. */
  static async open(context: WalletContext, keyring: Keyring, pools: Pools, ceremonies: Ceremonies, nonces: Nonces): Promise<KeySwitches> {
    const switches = new KeySwitches(context, keyring, pools, ceremonies, nonces);
    for (const walletId of await switches.recorded()) {
      await switches.of(walletId);
      await keyring.reload(walletId);
      await switches.#freeze(walletId);
    }
    return switches;
  }

  serve(): void {
    const { calls } = this.context;
    calls.serve(methods.highest, async (_from, { walletId }) => {
      const { state } = await this.of(walletId);
      return { share: state.share, epoch: state.epoch ?? 0, highest: state.highest };
    });
    calls.serve(methods.vote, async (from, { ticket }) => ({ signature: await this.#vote(from, ticket) }));
    calls.serve(methods.decline, async (from, { ticket }) => {
      await this.#requireGivenUp(from, ticket);
      return { statement: await this.decline(ticket) };
    });
    calls.serve(methods.refused, async (_from, { ticket, statement }) => {
      await this.refusedBy(ticket, statement);
      return { ok: 1 };
    });
    calls.serve(methods.certified, async (_from, { certificate }) => {
      await this.certify(certificate);
      return { ok: 1 };
    });
    calls.serve(methods.committed, async (_from, { walletId, sid, statement }) => {
      await this.committedBy(walletId, sid, statement);
      return { ok: 1 };
    });
    calls.serve(methods.ask, (_from, { walletId, epoch, ticket }) => this.#answer(walletId, epoch, ticket));
  }

  /** The switch of a key; of one that this node has nothing of, an empty one. */
  async of(walletId: string): Promise<KeySwitch> {
    const known = this.#switches.get(walletId);
    if (known !== undefined) return known;
    const { context, keyring } = this;
    const opened = KeySwitch.open({
      storage: vaultStorage(context.vault, walletId, () => this.#dropOldAux(walletId)),
      identity: context.identity.publicKey,
      parameters: context.parameters,
      own: () => {
        const key = keyring.find(walletId);
        return key?.state === 'active' ? this.heldOf(key) : undefined;
      },
    });
    this.#switches.set(walletId, opened);
    // Of a key that is not here (yet) nothing is kept: whoever asks about any number of such keys finds nothing to fill.
    if ((await opened).state.epoch === undefined) this.#switches.delete(walletId);
    return opened;
  }
  /** Keeps the switch of a key that this node is about to get. */
  hold(walletId: string, change: KeySwitch): void {
    this.#switches.set(walletId, Promise.resolve(change));
  }

  /** A share with the identity keys of its committee and the purpose of its key, as this node knows them. */
  heldOf(key: WalletKey): Held {
    return { share: sharedOf(key), members: key.committee.map((node) => this.context.roster.publicKey(node)), ...purposeOf(key) };
  }

  /** Node names of identity keys. @throws Refusal for a key of no node of this cluster. */
  nodesOf(identities: readonly Uint8Array[]): NodeId[] {
    return identities.map((key) => {
      const found = this.context.roster.members.find(({ publicKey }) => equalBytes(publicKey, key));
      if (found !== undefined) return found.nodeId;
      throw new Refusal('key_change', 'nodes', 'the plan names a node that is not of this cluster', 'plan with nodes of the cluster', 403);
    });
  }
  /** O ∪ O*. */
  concerned({ oldMembers, newMembers }: Plan): NodeId[] {
    return [...new Set(this.nodesOf([...oldMembers, ...newMembers]))];
  }
  sidOf(change: KeySwitch, ticket: Ticket): Uint8Array {
    return fromHex(change.moveOf(ticket).sid);
  }

  async storeConsent(walletId: string, value: Consent): Promise<void> {
    await this.context.vault.put('key-switch', `${walletId}${CONSENT}`, encode(consentCodec, value));
  }

  /**
   * Who holds a key tomorrow is decided by people: the operator of this node agreed to exactly this. What keeps nodes and threshold needs none.
   * `publicKey` as the API shows it. @throws Refusal
   */
  async requireConsent(walletId: string, threshold: number, nodes: readonly NodeId[], publicKey: string | undefined): Promise<void> {
    const key = this.keyring.find(walletId);
    if (key?.share.t === threshold && key.committee.join() === nodes.join()) return;
    const content = await this.context.vault.get('key-switch', `${walletId}${CONSENT}`);
    const agreed = content && decode(consentCodec, content);
    const fits =
      agreed !== undefined &&
      agreed.expiresAt > this.context.clock() &&
      agreed.threshold === threshold &&
      agreed.nodes.join() === nodes.join() &&
      (publicKey === undefined || agreed.publicKey === publicKey);
    if (fits) return;
    const what = `${threshold}-of-${nodes.length} on ${nodes.join(', ')}`;
    const remedy = `threshold-wallet keys agree ${walletId} --threshold ${threshold} --nodes ${nodes.join(',')} at ${this.context.self}`;
    throw new Refusal('key_change', 'consent', `the operator of ${this.context.self} has not agreed to ${what} for this key`, remedy, 403);
  }

  /** Durable before it is said. */
  async #vote(from: NodeId, ticket: Ticket): Promise<Uint8Array> {
    const { plan } = ticket;
    const key = this.keyring.active(plan.keyId);
    if (!key.committee.includes(from))
      throw new Refusal('key_change', 'voter', `${from} is not of the committee of this key`, 'let a member ask for votes', 403);
    this.givenUp.brought((await this.of(plan.keyId)).moveOf(ticket).sid, from);
    if (plan.kind === 'reshare') await this.requireConsent(plan.keyId, plan.nextT, this.nodesOf(plan.newMembers), publicKeyOf(key));
    return this.context.identity.sign(await (await this.of(plan.keyId)).vote(ticket));
  }

  /** REFUSE of this node, durable. @throws Refusal when it has acknowledged. */
  async decline(ticket: Ticket): Promise<Statement> {
    const { identity } = this.context;
    const message = await (await this.of(ticket.plan.keyId)).decline(ticket);
    return { index: rolesOf(ticket.plan, identity.publicKey).member!, signature: identity.sign(message) };
  }

  /** @throws Refusal when the plan may yet be carried out, or is none that this node could know. */
  async #requireGivenUp(from: NodeId, { plan, nonce }: Ticket): Promise<void> {
    const change = await this.of(plan.keyId);
    const { sid } = change.moveOf({ plan, nonce });
    const idle = this.concerned(plan).includes(from) && !this.running.has(plan.keyId);
    if (idle && change.state.refused.includes(sid)) return;
    const key = this.keyring.find(plan.keyId);
    if (key?.state === 'active') checkHeld(plan, this.heldOf(key));
    else checkPlan(plan, plan.publicKey);
    if (idle && this.givenUp.mayAsk(sid, from, this.nodesOf(plan.newMembers)) && this.givenUp.grant(from)) return;
    const what = 'the run is under way or may begin, or is none of the asking node’s';
    throw new Refusal('key_change', 'plan', what, 'ask again in a minute', 409);
  }

  /** A try that failed: a member that has not acknowledged refuses, and the old members are free for another plan. */
  async release(ticket: Ticket): Promise<void> {
    const { context } = this;
    for (const node of this.nodesOf(ticket.plan.newMembers)) {
      try {
        const { statement } =
          node === context.self ? { statement: await this.decline(ticket) } : await context.calls.call(node, methods.decline, { ticket });
        const told = this.concerned(ticket.plan).filter((other) => online(context).has(other));
        await Promise.allSettled(told.map((other) => context.calls.call(other, methods.refused, { ticket, statement })));
        return;
      } catch (error) {
        context.logger.info({ node, error: textOf(error) }, 'a node did not refuse the failed change of a key');
      }
    }
  }

  async refusedBy(ticket: Ticket, statement: Statement): Promise<void> {
    const change = await this.of(ticket.plan.keyId);
    await change.refusedBy(ticket, statement);
    const sid = this.sidOf(change, ticket);
    const certificate = change.certificates.find((known) => equalBytes(this.sidOf(change, known.ticket), sid));
    if (certificate !== undefined) await this.stated.certified(certificate);
    await this.stated.refused(ticket, statement);
    await this.#freeze(ticket.plan.keyId);
  }

  /** COMMITTED here; then everybody is told: the certificate, and that this node has it. */
  async certify(certificate: Certificate): Promise<void> {
    const { context, keyring, nonces, pools } = this;
    const { plan } = certificate.ticket;
    const walletId = plan.keyId;
    const change = await this.of(walletId);
    const before = change.state.epoch;
    await change.certify(certificate);
    await this.#freeze(walletId);
    if (change.state.epoch === before) return;
    await this.stated.certified(certificate);
    // As the presignatures of the old epoch are gone with the certificate, its nonces are.
    nonces.renew(walletId);
    const key = await keyring.reload(walletId);
    await pools.renew(walletId, key);
    if (key !== undefined) await this.ceremonies.registered(walletId);
    await context.vault.delete('key-switch', `${walletId}${CONSENT}`);
    context.logger.info({ wallet_id: walletId, epoch: plan.nextEpoch, share: key !== undefined }, 'the key has new shares');
    await this.#tell(change, certificate);
  }

  async #tell(change: KeySwitch, certificate: Certificate): Promise<void> {
    const { context } = this;
    const { ticket } = certificate;
    const walletId = ticket.plan.keyId;
    const sid = this.sidOf(change, ticket);
    const statement = this.#committedStatement(change);
    if (statement !== undefined) await this.committedBy(walletId, sid, statement);
    const others = this.concerned(ticket.plan).filter((node) => node !== context.self && online(context).has(node));
    await Promise.all(
      others.map(async (node) => {
        try {
          await context.calls.call(node, methods.certified, { certificate });
          if (statement !== undefined) await context.calls.call(node, methods.committed, { walletId, sid, statement });
        } catch (error) {
          // It asks by itself when it can.
          context.logger.warn({ node, wallet_id: walletId, error: textOf(error) }, 'a node did not take the certificate of a key');
        }
      }),
    );
  }

  /** That this node, of O*, has stored the certificate of the epoch in force. */
  #committedStatement(change: KeySwitch): Statement | undefined {
    const { state } = change;
    const { identity } = this.context;
    if (state.committed?.move.member === undefined || !state.share) return undefined;
    const { sid, to, member } = state.committed.move;
    return { index: member, signature: identity.sign(committedMessage(fromHex(sid), to)) };
  }

  async committedBy(walletId: string, sid: Uint8Array, statement: Statement): Promise<void> {
    const change = await this.of(walletId);
    const ticket = change.certificates.at(-1)?.ticket;
    if (ticket === undefined || !equalBytes(this.sidOf(change, ticket), sid)) return;
    if (!(await change.committedBy(ticket, statement))) return;
    await change.erase();
    this.context.logger.info({ wallet_id: walletId, epoch: change.state.epoch }, 'the old shares of the key are destroyed');
  }

  /** What this node knows, for one that waits. */
  async #answer(walletId: string, epoch: number | undefined, ticket: Ticket | undefined) {
    const change = await this.of(walletId);
    const { identity } = this.context;
    const { state, certificates } = change;
    const newer = certificates.filter(({ ticket: { plan } }) => epoch === undefined || plan.nextEpoch > epoch).slice(0, MAX_ANSWER);
    if (ticket === undefined) return { certificates: newer, refusal: undefined, ack: undefined, committed: undefined };
    const sid = this.sidOf(change, ticket);
    const index = rolesOf(ticket.plan, identity.publicKey).member;
    const signed = (message: Uint8Array): Statement | undefined =>
      index === undefined ? undefined : { index, signature: identity.sign(message) };
    const waiting = change.waiting();
    const same = waiting !== undefined && equalBytes(this.sidOf(change, waiting.ticket), sid);
    return {
      certificates: newer,
      refusal: state.refused.includes(hex(sid)) ? signed(refusalMessage(sid)) : undefined,
      ack: same ? signed(ackMessage(sid, ticket.plan.nextEpoch, waiting.digest)) : undefined,
      committed: state.committed?.move.sid === hex(sid) ? this.#committedStatement(change) : undefined,
    };
  }

  /** Nothing is presigned for an epoch that is about to end. */
  async #freeze(walletId: string): Promise<void> {
    if ((await this.of(walletId)).waiting() === undefined) this.keyring.frozen.delete(walletId);
    else this.keyring.frozen.add(walletId);
  }

  /** The committee before the last change of a key, as the certificate that moved this node names it, without those who are of the cluster no more. */
  async formerOf(walletId: string): Promise<readonly NodeId[]> {
    const { oldMembers = [] } = (await this.of(walletId)).certificates.at(-1)?.ticket.plan ?? {};
    const { members } = this.context.roster;
    return members.filter(({ publicKey }) => oldMembers.some((key) => equalBytes(key, publicKey))).map(({ nodeId }) => nodeId);
  }

  async recorded(): Promise<string[]> {
    return (await this.context.vault.list('key-switch')).filter((id) => !id.endsWith(CONSENT));
  }

  /** With the old share go p, q, p̂, q̂ and λ of its epoch, if no other key uses them. Called before the erasure is recorded, so again after a crash. */
  async #dropOldAux(walletId: string): Promise<void> {
    const last = (await this.of(walletId)).certificates.at(-1)?.ticket.plan;
    if (last?.scheme === 'cggmp24') await this.keyring.dropCommitteeAux(this.nodesOf(last.oldMembers));
  }

  /** Auxiliary information of prepared shares, set aside or not. */
  async auxKept(): Promise<Set<string>> {
    const switches = await Promise.all(this.#switches.values());
    return new Set(switches.flatMap((change) => change.preparedTickets().map(({ plan }) => hex(plan.auxHash))));
  }
}

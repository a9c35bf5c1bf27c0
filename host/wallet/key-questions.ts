/**
 * What a node asks the others about changes of its keys after a crash, a lost link, or a message that did not come: certificates that it missed, the
 * acknowledgements and refusals of what it waits for, and who is committed (cggmp24.md §6.10). Every answer is a signature or a certificate, which counts as it would
 * from anybody.
 */
import { Refusal } from '../base/errors.ts';
import type { KeySwitch } from '../resharing/key-switch.ts';
import { rolesOf, type Ticket } from '../resharing/plan.ts';
import { ackMessage, stated, type Statement } from '../resharing/statements.ts';
import type { Ceremonies } from './ceremonies.ts';
import { online, type WalletContext } from './context.ts';
import { methods } from './key-change-messages.ts';
import type { KeySwitches } from './key-switches.ts';
import type { Keyring } from './keyring.ts';
import { Repeated } from './repeated.ts';

const FIRST_LOOK_MS = 300;
const LOOK_MS = 10_000;

export class KeyQuestions {
  readonly #looks: Repeated;
  #first = true;

  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    private readonly ceremonies: Ceremonies,
    private readonly switches: KeySwitches,
  ) {
    this.#looks = new Repeated(() => this.#look(), {
      firstMs: FIRST_LOOK_MS,
      thenMs: LOOK_MS,
      failed: (error) => context.logger.warn({ error }, 'could not ask about a change of a key'),
    });
  }

  start(): void {
    this.#looks.start();
  }
  stop(): Promise<void> {
    return this.#looks.stop();
  }

  /** Asks whoever may know about everything that waits here; right after the start, about every key, which an old backup may have brought back. */
  async #look(): Promise<void> {
    const { keyring, switches, ceremonies } = this;
    const first = this.#first;
    this.#first = false;
    for (const walletId of new Set([
      ...(await switches.recorded()),
      ...keyring.keys().flatMap((key) => (key.state === 'active' ? [key.walletId] : [])),
    ])) {
      if (switches.running.has(walletId)) continue;
      const change = await switches.of(walletId);
      const { committed } = change.state;
      const unfinished = committed === undefined || committed.erased ? undefined : change.certificates.at(-1)?.ticket;
      const ticket = change.waiting()?.ticket ?? change.locked() ?? unfinished;
      if (ticket === undefined && !first) continue;
      try {
        await this.#ask(walletId, change, ticket);
        const locked = change.locked();
        if (locked !== undefined && change.waiting() === undefined) await this.#giveUp(change, locked);
      } catch (error) {
        // What is wrong with one key must not keep the others waiting; the next look tries again.
        this.context.logger.warn({ wallet_id: walletId, error }, 'could not ask about a change of a key');
      }
    }
    if (switches.running.size === 0 && !ceremonies.isRunning()) await keyring.dropUnusedAux(await switches.auxKept());
  }

  async #ask(walletId: string, change: KeySwitch, ticket: Ticket | undefined): Promise<void> {
    const { context, keyring, switches } = this;
    const reachable = online(context);
    const asked = (ticket === undefined ? (keyring.find(walletId)?.committee ?? []) : switches.concerned(ticket.plan)).filter(
      (node) => node !== context.self && reachable.has(node),
    );
    const { epoch } = change.state;
    const replies = await Promise.allSettled(asked.map((node) => context.calls.call(node, methods.ask, { walletId, epoch, ticket })));
    const answers = replies.flatMap((reply) => (reply.status === 'fulfilled' ? [reply.value] : []));
    // One bad answer, whoever it is from, must not keep the others from being heard.
    const heed = async (work: () => Promise<void>): Promise<void> => {
      try {
        await work();
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        context.logger.info({ wallet_id: walletId, error: error.message }, 'an answer about a key was not heeded');
      }
    };
    for (const { certificates } of answers) for (const certificate of certificates) await heed(() => switches.certify(certificate));
    if (ticket === undefined) return;
    const waiting = change.waiting();
    if (waiting !== undefined) {
      for (const { ack } of answers) if (ack !== undefined) await switches.stated.acknowledged(waiting.ticket, waiting.digest, ack);
      // The last messages of the run were lost: with all acknowledgements everybody can make the certificate.
      const acks = this.#allAcks(change, waiting.ticket, waiting.digest, answers.flatMap(({ ack }) => (ack === undefined ? [] : [ack]))); // prettier-ignore
      if (acks !== undefined) await heed(() => switches.certify({ ticket: waiting.ticket, approvals: waiting.approvals, digest: waiting.digest, acks })); // prettier-ignore
    }
    const sid = switches.sidOf(change, ticket);
    for (const { refusal, committed } of answers) {
      if (refusal !== undefined) await heed(() => switches.refusedBy(ticket, refusal));
      if (committed !== undefined) await heed(() => switches.committedBy(walletId, sid, committed));
    }
  }

  /** All n* acknowledgements in order, own one included; undefined while one is missing. What is said falsely for another member displaces nothing. */
  #allAcks(change: KeySwitch, ticket: Ticket, digest: Uint8Array, heard: readonly Statement[]): Uint8Array[] | undefined {
    const { newMembers, nextEpoch } = ticket.plan;
    const message = ackMessage(this.switches.sidOf(change, ticket), nextEpoch, digest);
    const found = new Map(heard.flatMap((ack) => (stated(newMembers, message, ack) ? [[ack.index, ack.signature]] : [])));
    found.set(rolesOf(ticket.plan, this.context.identity.publicKey).member!, this.context.identity.sign(message));
    const acks = newMembers.flatMap((_, index) => found.get(index) ?? []);
    return acks.length === newMembers.length ? acks : undefined;
  }

  /** A vote of before the start, or whose run did not come: this node will not take part, and asks a new member to refuse. */
  async #giveUp(change: KeySwitch, ticket: Ticket): Promise<void> {
    const { sid } = change.moveOf(ticket);
    const live = change.state.voted === sid || change.state.sharing === sid;
    if (live && !this.switches.givenUp.waitedFor(sid)) return;
    await this.switches.release(ticket);
  }
}

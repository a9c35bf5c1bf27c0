/** What a node does in a ceremony that it takes part in: the protocol of each kind, in a session that is watched, and what becomes of its result. */
import { concatBytes, utf8 } from '../base/bytes.ts';
import { encode } from '../base/codec.ts';
import { Defect, Unavailable } from '../base/errors.ts';
import { auxInfo } from '../cggmp24/aux-info.ts';
import { keygen as ecdsaKeygen } from '../cggmp24/keygen.ts';
import { presignBatch } from '../cggmp24/presign.ts';
import { batchLimit } from '../cggmp24/presign-messages.ts';
import { presignature as presignatureCodec } from '../cggmp24/presignature.ts';
import { signingBinding } from '../cggmp24/session.ts';
import { atPriority } from '../core/types.ts';
import type { SessionFacts } from '../evidence/index.ts';
import { keygen as frostKeygen } from '../frost/keygen.ts';
import type { NodeId } from '../mesh/types.ts';
import type { Rounds, Tracer } from '../protocol/rounds.ts';
import { sha256, Transcript } from '../protocol/transcript.ts';
import type { CeremonyLog } from './ceremony-log.ts';
import type { WalletContext } from './context.ts';
import type { Keyring } from './keyring.ts';
import type { Invitation } from './messages.ts';
import type { Pools } from './pools.ts';
import { inSession } from './protocol-session.ts';

/** A silent party ends a run after this long without progress. Safe primes take minutes on a slow machine, hence the long one. */
const ROUND_TIMEOUT_MS = { dkg: 20_000, change: 20_000, aux: 15 * 60_000, presign: 50_000 } as const;
/** And in presigning this much longer for each presignature of a batch: all of them are computed before anything is sent. */
const ELEMENT_TIMEOUT_MS = 10_000;
/** Presignatures of one run. More would save little, hold more memory, and leave a stopped job waiting for longer. */
export const PRESIGN_BATCH = 10;
/** A member whose link is down this long ends a ceremony that waits for it. */
const LOST_AFTER_MS = 10_000;

/** One ceremony that runs here: its id, those who take part, and what ends it. */
export interface Running {
  readonly id: string;
  readonly parties: readonly NodeId[];
  readonly stop: AbortSignal;
}

export class CeremonyRuns {
  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    private readonly pools: Pools,
    private readonly log: CeremonyLog,
  ) {}

  /** This node's part in what `invite` asks for. Resolves when its result is durable. */
  run(running: Running, invite: Invitation): Promise<void> {
    switch (invite.kind) {
      case 'aux':
        return this.#aux(running, invite);
      case 'dkg':
        return this.#keygen(running, invite);
      case 'presign':
        return this.#presign(running, invite);
    }
  }

  /** A refresh or resharing. */
  change<T>(running: Running, facts: SessionFacts, protocol: (rounds: Rounds) => Promise<T>): Promise<T> {
    return this.#watched(running, facts, { roundTimeoutMs: ROUND_TIMEOUT_MS.change, class: 'ceremony' }, protocol);
  }

  async #aux(running: Running, { walletId, threshold: t, committee, nonce }: Invitation): Promise<void> {
    const { context, keyring } = this;
    const { parameters, random, primes, core } = context;
    const binding = { protocol: 'aux-info', parameters, nonce, identities: this.#identities(running), t, n: committee.length };
    const limits = { roundTimeoutMs: ROUND_TIMEOUT_MS.aux, class: 'ceremony' } as const;
    const aux = await this.#watched(running, { binding }, limits, (rounds) => auxInfo({ rounds, primes, random, core, parameters }));
    // For a wallet: it belongs to the next epoch of that key, and the committee's own stays for the others.
    await (walletId === '' ? keyring.storeAux(committee, aux) : keyring.storeRenewedAux(aux));
  }

  async #keygen(running: Running, invite: Invitation): Promise<void> {
    const { keyring } = this;
    const { protocol, walletId, walletName, threshold: t, committee, createdAt, addressType } = invite;
    const { parameters, random } = this.context;
    const description = { walletId, walletName, committee, createdAt };
    const identities = this.#identities(running);
    const nonce = keygenNonce(invite);
    const binding = { protocol: `keygen-${protocol}`, parameters, nonce, identities, t, n: committee.length, keyId: walletId };
    await this.#watched(running, { binding }, { roundTimeoutMs: ROUND_TIMEOUT_MS.dkg, class: 'ceremony' }, async (rounds) => {
      const common = { rounds, t, random, keyId: walletId };
      if (protocol === 'cggmp24') {
        const kind = { protocol, addressType: addressType ?? 'p2wpkh' } as const;
        await ecdsaKeygen({ ...common, prepared: (share) => keyring.prepare(description, { ...kind, share }) });
      } else {
        const kind = { protocol, addressType: 'p2tr' } as const;
        await frostKeygen({ ...common, prepared: (share) => keyring.prepare(description, { ...kind, share }) });
      }
    });
  }

  async #presign(running: Running, { walletId, signers, nonce, count: wanted, threshold: t, createdAt }: Invitation): Promise<void> {
    const { context, keyring } = this;
    const { parameters, random } = context;
    const key = keyring.active(walletId);
    const aux = keyring.auxOf(key);
    if (key.protocol !== 'cggmp24' || aux === undefined) throw new Defect('the invitation was checked');
    const core = atPriority(context.core, 'refill');
    const limit = Math.min(PRESIGN_BATCH, batchLimit(parameters, t));
    const common = { signers, key: key.share, aux, parameters };
    for (let made = 0; made < wanted;) {
      const begin = context.clock();
      // Everybody cuts the job alike. Between two batches nothing is held, and a job that was stopped ends.
      const count = Math.min(limit, wanted - made);
      const batchNonce = sha256(new Transcript('presign-batch/v1').bytes(nonce).u32(made).preimage());
      const identities = this.#identities(running);
      const binding = signingBinding({ protocol: 'presign', ...common, nonce: batchNonce, identities, count });
      const facts = { binding, signers, publicShares: key.share.X, aux: aux.parties };
      const limits = { roundTimeoutMs: ROUND_TIMEOUT_MS.presign + count * ELEMENT_TIMEOUT_MS, class: 'bulk' } as const;
      const batch = await this.#watched(running, facts, limits, (rounds) => presignBatch({ rounds, ...common, random, core, count }));
      for (const [k, result] of batch.entries()) {
        const record = encode(presignatureCodec, result);
        await this.pools.add(walletId, {
          id: result.id,
          sid: result.sid,
          noncePoint: result.Gamma.toBytes(true),
          signers: running.parties,
          createdAt: createdAt + made + k,
          keyId: utf8(walletId),
          epoch: result.epoch,
          generationMs: Math.ceil((context.clock() - begin) / count),
          secret: record,
        });
        record.fill(0);
      }
      made += count;
      this.log.progress(running.id, 'presignatures', made, wanted);
    }
  }

  #identities({ parties }: Running): Uint8Array[] {
    return parties.map((node) => this.context.roster.publicKey(node));
  }

  /** Opens the session, watches for members that are gone for good, and ends the session whatever happens. */
  async #watched<T>(
    { id, parties, stop }: Running,
    facts: SessionFacts,
    limits: { readonly roundTimeoutMs: number; readonly class: 'ceremony' | 'bulk' },
    protocol: (rounds: Rounds) => Promise<T>,
  ): Promise<T> {
    const { context } = this;
    const gone = new AbortController();
    const watch = setInterval(() => {
      const dead = context.mesh
        .peers()
        .filter(
          (p) =>
            parties.includes(p.node) &&
            p.status !== 'active' &&
            p.status !== 'degraded' &&
            context.clock() - (p.lastSeen ?? 0) > LOST_AFTER_MS,
        );
      const claim = `lost the link to ${dead.map((p) => p.node).join(', ')}`;
      if (dead.length > 0) gone.abort(new Unavailable('mesh', claim, 'start the missing node, then try again'));
    }, 1000);
    const onStop = () => gone.abort(stop.reason);
    const tracer: Tracer = {
      round: (name, event) => {
        context.logger.debug({ ceremony: id, round: name, event }, 'round');
        // A presigning job tells how many of its presignatures are made.
        if (event === 'sent' && limits.class !== 'bulk') this.log.progress(id, name, 0, 0);
      },
      work: (name, done, total) => this.log.progress(id, name, done, total),
    };
    // The session is opened even when it is over before it began: the others learn of the end by it.
    const opened = () => {
      stop.addEventListener('abort', onStop);
      if (stop.aborted) onStop();
    };
    try {
      return await inSession(context, { facts, parties, ...limits, signal: gone.signal, tracer, opened }, protocol);
    } finally {
      clearInterval(watch);
      stop.removeEventListener('abort', onStop);
    }
  }
}

/**
 * What makes the session of a key generation: the nonce of the invitation, and the type of the addresses where one is named. So nodes that were told
 * different types are in different sessions, of which none is complete, and no key comes of any. It is appended: a hash of both would be as long as the nonce
 * of an invitation, and could be given as one to those who are told no type. (The usual type leaves the nonce as it is: nodes of earlier releases, which know
 * no other, take part.)
 */
export const keygenNonce = ({ nonce, addressType }: Pick<Invitation, 'nonce' | 'addressType'>): Uint8Array =>
  addressType === undefined ? nonce : concatBytes(nonce, new Transcript('keygen-type/v1').text(addressType).digest());

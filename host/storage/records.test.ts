import { createHash, randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase } from './database.ts';
import { migrate } from './migrate.ts';
import { MIGRATIONS } from './migrations/index.ts';
import { TRANSACTION_STATES } from '../wallet/types.ts';
import { openRecords, type Records } from './records/index.ts';
import { TRANSACTION_ROW_STATES, type NewTransaction } from './records/transactions.ts';
import { embeddedServer, outsideServer, OUTSIDE_URL, type TestServer } from './testing/postgres.ts';

const digest = (text: string) => createHash('sha256').update(text).digest('hex');
const refusal = (code: string, field?: string) => expect.objectContaining({ name: 'Refusal', code, ...(field && { field }) });

it('knows the same states as the wallet', () => {
  expect(TRANSACTION_ROW_STATES).toEqual(TRANSACTION_STATES);
});

describe('on the embedded PostgreSQL', () => suite(embeddedServer));
describe.skipIf(OUTSIDE_URL === undefined)('on an outside PostgreSQL (THRESHOLD_TEST_POSTGRES_URL)', () =>
  suite(() => outsideServer(OUTSIDE_URL!)),
);

function suite(start: () => Promise<TestServer>): void {
  let server: TestServer;
  let database: Awaited<ReturnType<TestServer['newDatabase']>>;
  let records: Records;
  let serial = 0;

  beforeAll(async () => {
    server = await start();
    database = await server.newDatabase();
    expect(await migrate({ url: database.ownerUrl, applicationRole: database.applicationRole })).toEqual(
      MIGRATIONS.map(({ version }) => version),
    );
    records = openRecords({ url: database.url, nodeId: 'node-1' });
    await records.wallets.insert(wallet);
  });
  afterAll(async () => {
    await records?.close();
    await server?.stop();
  });

  const wallet = {
    wallet_id: 'w1',
    name: 'Main',
    protocol: 'cggmp24',
    address_type: 'p2wpkh',
    threshold: 4,
    total_nodes: 5,
    public_key: `02${digest('key')}`,
    address: 'bcrt1qexample',
    network: 'regtest',
  } as const;

  const payment = (change: Partial<NewTransaction> = {}): NewTransaction => {
    const n = ++serial;
    return {
      tx_id: randomUUID(),
      wallet_id: 'w1',
      txid: digest(`txid ${n}`),
      protocol: 'cggmp24',
      recipients: [{ address: 'bcrt1qpayee', amount_sats: 50_000 }],
      fee_sats: 200,
      fee_rate: 1.4,
      vsize: 141,
      metadata: null,
      unsigned_tx: '0200',
      inputs: [{ txid: digest(`coin ${n}`), vout: 0, value_sats: 60_000 }],
      ...change,
    };
  };
  /** Runs SQL as another role. */
  const as = async (url: string, sql: string, values: unknown[] = []) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query(sql, values)).rows;
    } finally {
      await client.end();
    }
  };

  describe('migrations', () => {
    it('are applied once, and two starts at once do not disturb each other', async () => {
      const { ownerUrl } = await server.newDatabase();
      const applied = await Promise.all([1, 2, 3].map(() => migrate({ url: ownerUrl })));
      expect(applied.flat()).toEqual(MIGRATIONS.map(({ version }) => version));
      expect(await as(ownerUrl, 'select version, name from schema_migrations order by 1')).toEqual(
        MIGRATIONS.map(({ version, name }) => ({ version, name })),
      );
    });

    it('upgrade an older database, refuse a newer or a different one, and leave nothing of a failed one', async () => {
      const { ownerUrl } = await server.newDatabase();
      const next = { version: MIGRATIONS.length + 1, name: 'next', sql: 'create table later (n integer)' };
      expect(await migrate({ url: ownerUrl, migrations: MIGRATIONS.slice(0, 2) })).toEqual([1, 2]);
      const broken = { ...next, sql: 'create table half (n integer); select no_such_function()' };
      await expect(migrate({ url: ownerUrl, migrations: [...MIGRATIONS, broken] })).rejects.toEqual(refusal('database.migration'));
      expect(await as(ownerUrl, `select to_regclass('half') as half, (select max(version) from schema_migrations) as version`)).toEqual([
        { half: null, version: MIGRATIONS.length },
      ]);
      expect(await migrate({ url: ownerUrl, migrations: [...MIGRATIONS, next] })).toEqual([next.version]);
      await expect(migrate({ url: ownerUrl })).rejects.toEqual(refusal('database.newer'));
      const changed = [{ ...MIGRATIONS[0]!, sql: `${MIGRATIONS[0]!.sql} ` }, ...MIGRATIONS.slice(1), next];
      await expect(migrate({ url: ownerUrl, migrations: changed })).rejects.toEqual(refusal('database.migration', 'schema_migrations 1'));
    });
  });

  it('a database of a release that knew no P2WSH keeps its wallets, and takes such ones', async () => {
    const { ownerUrl } = await server.newDatabase();
    await migrate({ url: ownerUrl, migrations: MIGRATIONS.slice(0, 5) });
    const insert = (id: string, type: string) =>
      as(ownerUrl, `insert into wallets (wallet_id, name, protocol, address_type, threshold, total_nodes, public_key, address, network)
        values ($1, 'Main', 'cggmp24', $2, 2, 3, $3, $1, 'regtest')`, [id, type, wallet.public_key]); // prettier-ignore
    await insert('w1', 'p2wpkh');
    await expect(insert('w2', 'p2wsh')).rejects.toThrow(/wallets_address_type_check/);
    expect(await migrate({ url: ownerUrl })).toContain(6);
    await insert('w2', 'p2wsh');
    expect(await as(ownerUrl, 'select wallet_id, address_type from wallets order by 1')).toEqual([
      { wallet_id: 'w1', address_type: 'p2wpkh' },
      { wallet_id: 'w2', address_type: 'p2wsh' },
    ]);
  });

  describe('payments', () => {
    it('are entered with their coins, found by id and txid, and paged', async () => {
      const first = payment({ metadata: 'for the milk' });
      const { inputs, ...columns } = first;
      const row = await records.transactions.insert(first);
      expect(row).toMatchObject({
        ...columns,
        state: 'created',
        amount_sats: 50_000,
        signers: [],
        timings: {},
        raw: null,
      });
      expect(row.created_at).toBeInstanceOf(Date);
      await records.transactions.insert(payment());
      await records.transactions.insert(payment());
      expect(await records.transactions.get(first.tx_id.toUpperCase())).toEqual(row);
      expect(await records.transactions.getByTxid(first.txid)).toEqual(row);
      expect(await records.transactions.get('no uuid')).toBeUndefined();
      expect(await records.transactions.inputs(first.tx_id)).toEqual([{ ...inputs[0], reserved: true }]);
      const all = await records.transactions.list({ wallet_id: 'w1', limit: 1_000, offset: 0 });
      const page = await records.transactions.list({ wallet_id: 'w1', limit: 2, offset: 1 });
      expect(page).toEqual({ items: all.items.slice(1, 3), total: all.total });
      expect(await records.transactions.list({ wallet_id: 'other', limit: 10, offset: 0 })).toEqual({ items: [], total: 0 });
    });

    it('change state only from the state that is expected, and one of many wins', async () => {
      const { tx_id } = await records.transactions.insert(payment());
      const moves = await Promise.all(Array.from({ length: 20 }, () => records.transactions.transition(tx_id, ['created'], 'voting')));
      expect(moves.filter((row) => row !== undefined)).toHaveLength(1);
      expect(await records.transactions.transition(tx_id, ['created'], 'approved')).toBeUndefined();
      const signed = await records.transactions.transition(tx_id, ['voting', 'approved'], 'signed', {
        raw: '02aa',
        signing_mode: 'pool',
        signers: ['node-1', 'node-2'],
        timings: { vote: 12.5 },
      });
      expect(signed).toMatchObject({
        state: 'signed',
        raw: '02aa',
        signing_mode: 'pool',
        signers: ['node-1', 'node-2'],
        timings: { vote: 12.5 },
      });
      expect(await records.transactions.update(tx_id, { confirmations: 3, block_height: 7 })).toMatchObject({
        confirmations: 3,
        block_height: 7,
        state: 'signed',
      });
      expect(await records.transactions.update(randomUUID(), { confirmations: 3 })).toBeUndefined();
    });

    it('takes one step from whichever of several states the payment is in', async () => {
      const { tx_id } = await records.transactions.insert(payment());
      const steps = [
        { from: 'created', to: 'voting' },
        { from: 'voting', to: 'approved' },
      ] as const;
      const step = (change = {}) => records.transactions.step(tx_id, steps, change);
      expect(await step({ timings: { build: 1 } })).toMatchObject({ before: 'created', row: { state: 'voting', timings: { build: 1 } } });
      expect(await step({ timings: { vote: 2 } })).toMatchObject({
        before: 'voting',
        row: { state: 'approved', timings: { build: 1, vote: 2 } },
      });
      expect(await step()).toBeUndefined();
      expect((await records.transactions.get(tx_id))!.state).toBe('approved');
      expect(await records.transactions.step(randomUUID(), steps)).toBeUndefined();
      const log = (await records.audit.list({ subject: tx_id, limit: 10 })).map(({ action }) => action);
      expect(log.sort()).toEqual(['transaction.approved', 'transaction.created', 'transaction.voting']);
    });

    it('never leave a final state', async () => {
      const { tx_id } = await records.transactions.insert(payment());
      await records.transactions.transition(tx_id, ['created'], 'failed', { error: 'e'.repeat(5_000) });
      expect((await records.transactions.get(tx_id))!.error).toHaveLength(2_000);
      await expect(records.transactions.transition(tx_id, ['failed'], 'created')).rejects.toEqual(
        refusal('database.constraint', 'transactions_final'),
      );
    });

    it('reserve a coin for one of 100 at once; a final state frees it', async () => {
      const inputs = [{ txid: digest('wanted coin'), vout: 4_294_967_295, value_sats: 60_000 }];
      const tries = Array.from({ length: 100 }, () => payment({ inputs }));
      const results = await Promise.allSettled(tries.map((one) => records.transactions.insert(one)));
      const winner = tries[results.findIndex(({ status }) => status === 'fulfilled')]!;
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      for (const result of results) if (result.status === 'rejected') expect(result.reason).toEqual(refusal('inputs.reserved', 'inputs'));
      // Nothing of the losers is left.
      expect(
        await as(database.ownerUrl, 'select count(*)::int as n from transactions where tx_id = any($1)', [tries.map(({ tx_id }) => tx_id)]),
      ).toEqual([{ n: 1 }]);
      expect((await records.transactions.reserved('w1')).filter(({ txid }) => txid === inputs[0]!.txid)).toEqual([
        { ...inputs[0], tx_id: winner.tx_id, state: 'created' },
      ]);
      await records.transactions.transition(winner.tx_id, ['created'], 'rejected');
      const next = await records.transactions.insert(payment({ inputs }));
      expect(await records.transactions.release(next.tx_id)).toBe(1);
      await records.transactions.insert(payment({ inputs }));
    });

    it('over crossing coins neither lock each other out nor double-book', async () => {
      const coins = ['a', 'b', 'c', 'd'].map((name) => ({ txid: digest(`crossing ${name}`), vout: 1, value_sats: 9_000 }));
      const pairs = Array.from({ length: 30 }, (_, i) => [coins[i % 4]!, coins[(i + 1 + (i % 3)) % 4]!]);
      const results = await Promise.allSettled(pairs.map((inputs) => records.transactions.insert(payment({ inputs }))));
      const won = pairs.filter((_, i) => results[i]!.status === 'fulfilled').flat();
      expect(won.length).toBeGreaterThanOrEqual(2);
      expect(new Set(won).size).toBe(won.length);
      for (const result of results) if (result.status === 'rejected') expect(result.reason).toEqual(refusal('inputs.reserved'));
    });

    const bad: [string, Partial<NewTransaction>, string][] = [
      ['amount 0', { recipients: [{ address: 'x', amount_sats: 0 }] }, 'transactions_amount'],
      ['amount above all coins', { recipients: [{ address: 'x', amount_sats: 21e14 + 1 }] }, 'transactions_amount'],
      ['no fee', { fee_sats: 0 }, 'transactions_fee'],
      ['81 bytes of text', { metadata: `${'é'.repeat(40)}x` }, 'transactions_metadata'],
      ['empty text', { metadata: '' }, 'transactions_metadata'],
      ['short txid', { txid: 'ab' }, 'transactions_txid_check'],
      ['no recipients', { recipients: [] }, 'transactions_amount'],
      ['unknown wallet', { wallet_id: 'nobody' }, 'transactions_wallet_id_fkey'],
      ['unknown protocol', { protocol: 'gg18' as 'frost' }, 'transactions_protocol_check'],
      ['odd hex', { unsigned_tx: 'abc' }, 'transactions_unsigned_tx_check'],
      ['unknown state', { state: 'done' as 'created' }, 'transactions_state'],
      ['coin of value 0', { inputs: [{ txid: digest('zero'), vout: 0, value_sats: 0 }] }, 'transaction_inputs_value_sats_check'],
    ];
    it.each(bad)('with %s are refused by the database', async (_, change, field) => {
      await expect(records.transactions.insert(payment(change))).rejects.toEqual(refusal('database.constraint', field));
    });

    it('take up to 80 bytes of text, and at least one coin', async () => {
      await records.transactions.insert(payment({ metadata: 'é'.repeat(40) }));
      await expect(records.transactions.insert(payment({ inputs: [] }))).rejects.toEqual(refusal('inputs.none'));
    });
  });

  describe('votes', () => {
    it('count once per node and proposal, and a second, different one is refused', async () => {
      const { tx_id, txid } = await records.transactions.insert(payment());
      const proposal = digest(`proposal ${tx_id}`);
      const round = await records.votes.openRound({ proposal, tx_id, quorum: 4, total_nodes: 5 });
      expect(await records.votes.openRound({ proposal, tx_id, quorum: 4, total_nodes: 5 })).toEqual(round);
      const vote = (n: number, value: 'approve' | 'reject' = 'approve') => ({
        proposal,
        node_id: `node-${n}`,
        value,
        reason: value === 'reject' ? 'fee too high' : '',
        signature: digest(`${n} ${value}`).repeat(2),
        voted_at: new Date(1_700_000_000_000 + n),
      });
      expect(await records.votes.add(vote(2))).toBe(true);
      expect(await records.votes.add(vote(2))).toBe(false);
      await expect(records.votes.add(vote(2, 'reject'))).rejects.toEqual(refusal('vote.conflict'));
      await records.votes.add(vote(1));
      await records.votes.add(vote(3, 'reject'));
      const found = (await records.votes.ofTransaction(tx_id))!;
      expect(found.votes.map(({ received_at: _, ...row }) => row)).toEqual([vote(1), vote(2), vote(3, 'reject')]);
      expect([await records.votes.closeRound(proposal, 'approved'), await records.votes.closeRound(proposal, 'rejected')]).toEqual([
        true,
        false,
      ]);
      expect((await records.votes.ofTransaction(tx_id))!.round).toMatchObject({ result: 'approved', round_number: 1 });
      const [view] = await as(database.url, 'select * from voting_rounds_v where tx_id = $1', [tx_id]);
      expect(view).toMatchObject({ txid, approvals: '2', rejections: '1' });
      expect(view.vote_data.map((entry: { node_id: string }) => entry.node_id)).toEqual(['node-1', 'node-2', 'node-3']);
      expect(await as(database.url, 'select approvals, rejections, quorum from transaction_summary where tx_id = $1', [tx_id])).toEqual([
        { approvals: '2', rejections: '1', quorum: 4 },
      ]);
      // Together: one that is refused takes no other with it, and one that is there already is known.
      const together = await Promise.allSettled(
        [vote(1), vote(4), vote(2, 'reject'), vote(5), vote(5)].map((one) => records.votes.add(one)),
      );
      expect(together.map((result) => (result.status === 'fulfilled' ? result.value : (result.reason as { code: string }).code))).toEqual([
        false,
        true,
        'vote.conflict',
        true,
        false,
      ]);
      const second = await records.votes.openRound({ proposal: digest(`again ${tx_id}`), tx_id, quorum: 3, total_nodes: 5 });
      expect(second.round_number).toBe(2);
    });

    it('begin with the payment and end with its step, all or nothing', async () => {
      const inputs = payment().inputs;
      const round = (name: string) => ({ proposer: 'node-2', proposal: digest(name), quorum: 4, total_nodes: 5 });
      const first = payment({ inputs });
      const { tx_id } = await records.transactions.insert({ ...first, round: round(first.tx_id) });
      const rival = payment({ inputs });
      await expect(records.transactions.insert({ ...rival, round: round(rival.tx_id) })).rejects.toEqual(refusal('inputs.reserved'));
      expect(await records.votes.ofTransaction(rival.tx_id)).toBeUndefined();
      expect((await records.votes.ofTransaction(tx_id))!.round).toMatchObject({ round_number: 1, quorum: 4, result: 'pending' });

      const proposal = digest(first.tx_id);
      await records.transactions.step(tx_id, [{ from: 'created', to: 'voting' }]);
      const ends = { proposal, result: 'approved' as const };
      const moved = await records.transactions.step(tx_id, [{ from: 'voting', to: 'approved' }], { fee_sats: 7 }, ends);
      expect(moved).toMatchObject({ before: 'voting', row: { state: 'approved', fee_sats: 7 } });
      const again = await records.transactions.step(tx_id, [{ from: 'voting', to: 'rejected' }], {}, { proposal, result: 'rejected' });
      expect(again).toBeUndefined();
      expect((await records.votes.round(proposal))!.result).toBe('approved');
      const actions = (await records.audit.list({ subject: tx_id })).map(({ action }) => action);
      expect(actions).toEqual([
        'payment.proposed',
        'transaction.created',
        'voting.started',
        'transaction.voting',
        'voting.approved',
        'transaction.approved',
      ]);
    });

    it('are decided by the step to signing, which enters the presignatures that go into it, or does nothing', async () => {
      const states = { approvable: ['voting'], signable: ['approved'] } as const;
      const begin = async (change: { readonly voted: boolean }) => {
        const first = payment();
        const proposal = digest(first.tx_id);
        const round = { proposer: 'node-1', proposal, quorum: 4, total_nodes: 5 };
        const { tx_id } = await records.transactions.insert({ ...first, round });
        await records.transactions.step(tx_id, [{ from: 'created', to: 'voting' }]);
        if (change.voted)
          await records.transactions.step(tx_id, [{ from: 'voting', to: 'approved' }], {}, { proposal, result: 'approved' });
        const used = [1, 2].map((n) => ({
          presignature_id: digest(`${tx_id} ${n}`),
          wallet_id: 'w1',
          tx_id,
          protocol: 'cggmp24' as const,
          signers: ['node-1', 'node-3'],
          outcome: 'used' as const,
          generation_time_ms: 35.5,
        }));
        const votes = ['node-1', 'node-2'].map((node_id) => {
          const said = { value: 'approve' as const, reason: '', signature: digest(node_id).repeat(2) };
          return { proposal, node_id, ...said, voted_at: new Date(1_700_000_000_000) };
        });
        return { tx_id, signing: { proposal, mode: 'pool' as const, signers: ['node-1', 'node-3'], votes, used } };
      };
      for (const voted of [true, false]) {
        const { tx_id, signing } = await begin({ voted });
        await records.votes.add(signing.votes[0]!);
        const { moved, entered } = await records.transactions.sign(tx_id, states, signing);
        expect(entered).toEqual(['node-2']);
        expect((await records.votes.ofTransaction(tx_id))!.votes).toHaveLength(2);
        const row = { tx_id, state: 'signing', signing_mode: 'pool', signers: ['node-1', 'node-3'] };
        expect(moved).toMatchObject({ before: voted ? 'approved' : 'voting', row });
        expect(moved!.row).toEqual(await records.transactions.get(tx_id));
        expect((await records.votes.round(signing.proposal))!.result).toBe('approved');
        const usage = (await records.operations.presignatureUsage('w1')).filter((one) => one.tx_id === tx_id);
        expect(usage.map(({ presignature_id: id }) => id).sort()).toEqual(signing.used.map(({ presignature_id: id }) => id).sort());
        const actions = (await records.audit.list({ subject: tx_id })).map(({ action }) => action);
        const decided = ['voting.approved', 'transaction.approved'];
        const votes = ['vote.approve', 'vote.approve'];
        expect(actions.slice(-5)).toEqual([...(voted ? [...decided, ...votes] : [...votes, ...decided]), 'transaction.signing']);
        // Neither again, nor when it has ended.
        expect(await records.transactions.sign(tx_id, states, signing)).toEqual({ moved: undefined, entered: [] });
      }
      const { tx_id, signing } = await begin({ voted: true });
      await records.transactions.step(tx_id, [{ from: 'approved', to: 'failed' }]);
      expect(await records.transactions.sign(tx_id, states, signing)).toEqual({ moved: undefined, entered: ['node-1', 'node-2'] });
      expect((await records.operations.presignatureUsage('w1')).some((one) => one.tx_id === tx_id)).toBe(false);
      const unknown = await records.transactions.sign(randomUUID(), states, { ...signing, votes: [] });
      expect(unknown).toEqual({ moved: undefined, entered: [] });
      // A presignature that is on record already stops the step, whole.
      const next = await begin({ voted: false });
      await records.operations.addPresignatureUsage(next.signing.used[1]!);
      await expect(records.transactions.sign(next.tx_id, states, next.signing)).rejects.toEqual(refusal('database.duplicate'));
      expect(await records.transactions.get(next.tx_id)).toMatchObject({ state: 'voting', signers: [] });
      expect((await records.votes.round(next.signing.proposal))!.result).toBe('pending');
      expect(await records.audit.verify()).toMatchObject({ intact: true });
    });

    it('hold the payment, not its key, before they wait for the audit log: nobody who refers to it meanwhile waits for them', async () => {
      const { tx_id } = await records.transactions.insert(payment());
      const proposal = digest(`order ${tx_id}`);
      await records.votes.openRound({ proposal, tx_id, quorum: 4, total_nodes: 5 });
      const vote = { proposal, node_id: 'node-1', value: 'approve', reason: '', signature: digest('x').repeat(2), voted_at: new Date() } as const; // prettier-ignore
      const [writer, other] = [1, 2].map(() => new pg.Client({ connectionString: database.superuserUrl })) as [pg.Client, pg.Client];
      await Promise.all([writer.connect(), other.connect()]);
      await writer.query('begin');
      await writer.query(`select from chain_heads where chain = 'audit_log' for update`);
      const states = { approvable: ['created'], signable: ['approved'] } as const;
      const begun = records.transactions.sign(tx_id, states, { proposal, mode: 'pool', signers: [], votes: [vote], used: [] });
      const waits = `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%sign_payment%'`;
      while ((await other.query(waits)).rowCount === 0) await new Promise(setImmediate);
      const lock = (kind: string) => other.query(`select from transactions where tx_id = $1 for ${kind} nowait`, [tx_id]);
      await expect(lock('no key update')).rejects.toMatchObject({ code: '55P03' });
      expect((await lock('key share')).rowCount).toBe(1);
      await writer.query('commit');
      expect((await begun).moved).toMatchObject({ before: 'created' });
      await Promise.all([writer.end(), other.end()]);
    });

    it('tell which coins a signature may spend: of ended payments that a quorum, or this node and then a failure, has seen through the vote', async () => {
      const ended = async (how: { state: 'failed' | 'timed_out'; voted?: 'approve' | 'reject'; approved?: boolean; raw?: string }) => {
        const first = payment();
        const proposal = digest(first.tx_id);
        const round = { proposer: 'node-2', proposal, quorum: 4, total_nodes: 5 };
        const { tx_id } = await records.transactions.insert({ ...first, round });
        await records.transactions.step(tx_id, [{ from: 'created', to: 'voting' }]);
        if (how.voted !== undefined) {
          const signature = digest(`by ${tx_id}`).repeat(2);
          await records.votes.add({ proposal, node_id: 'node-1', value: how.voted, reason: '', signature, voted_at: new Date() });
        }
        if (how.approved === true) await records.votes.closeRound(proposal, 'approved');
        await records.transactions.transition(tx_id, ['voting'], how.state, how.raw === undefined ? {} : { raw: how.raw });
        return first.inputs[0]!.txid;
      };
      const [certain, failed] = [await ended({ state: 'timed_out', approved: true }), await ended({ state: 'failed', voted: 'approve' })];
      const others = [
        await ended({ state: 'failed', voted: 'reject' }),
        await ended({ state: 'failed' }),
        await ended({ state: 'timed_out', voted: 'approve' }),
        await ended({ state: 'failed', approved: true, raw: 'ab' }),
      ];
      const exposed = (await records.transactions.exposed('w1', 'node-1')).map(({ txid }) => txid);
      expect(exposed).toEqual(expect.arrayContaining([certain, failed]));
      expect(exposed.filter((txid) => others.includes(txid))).toEqual([]);
    });

    it('need a quorum of more than half, a known round and a well-formed signature', async () => {
      const { tx_id } = await records.transactions.insert(payment());
      const proposal = digest(`strict ${tx_id}`);
      for (const [quorum, total_nodes] of [
        [2, 4],
        [2, 5],
        [6, 5],
      ] as const) {
        await expect(records.votes.openRound({ proposal, tx_id, quorum, total_nodes })).rejects.toEqual(
          refusal('database.constraint', 'voting_rounds_quorum'),
        );
      }
      const vote = {
        proposal,
        node_id: 'node-1',
        value: 'approve',
        reason: '',
        signature: digest('x').repeat(2),
        voted_at: new Date(),
      } as const;
      await expect(records.votes.add(vote)).rejects.toEqual(refusal('database.constraint', 'votes_proposal_fkey'));
      await records.votes.openRound({ proposal, tx_id, quorum: 3, total_nodes: 5 });
      await expect(records.votes.add({ ...vote, signature: 'ab' })).rejects.toEqual(
        refusal('database.constraint', 'votes_signature_check'),
      );
      await expect(records.votes.add({ ...vote, value: 'maybe' as 'approve' })).rejects.toEqual(
        refusal('database.constraint', 'votes_value_check'),
      );
    });
  });

  describe('wallets and requests', () => {
    it('enter a wallet once, and refuse another one under its name, or an impossible one', async () => {
      const again = await records.wallets.insert(wallet);
      expect(again).toEqual(await records.wallets.get('w1'));
      expect(again).toMatchObject(wallet);
      await expect(records.wallets.insert({ ...wallet, public_key: `03${digest('other')}` })).rejects.toEqual(refusal('wallet.duplicate'));
      await expect(records.wallets.insert({ ...wallet, wallet_id: 'w2' })).rejects.toEqual(refusal('wallet.duplicate'));
      const other = { ...wallet, wallet_id: 'w3', address: 'bcrt1qother' };
      for (const [change, field] of [
        [{ threshold: 6 }, 'wallets_threshold'],
        [{ threshold: 1 }, 'wallets_threshold'],
        [{ total_nodes: 17 }, 'wallets_threshold'],
        [{ protocol: 'frost', address_type: 'p2tr' }, 'wallets_public_key'],
        [{ protocol: 'frost', address_type: 'p2wsh', public_key: digest('x') }, 'wallets_address_type'],
        [{ address_type: 'p2tr' }, 'wallets_address_type'],
        [{ public_key: `04${digest('x')}` }, 'wallets_public_key'],
        [{ network: 'litecoin' as 'regtest' }, 'wallets_network_check'],
      ] as const) {
        await expect(records.wallets.insert({ ...other, ...change })).rejects.toEqual(refusal('database.constraint', field));
      }
      await records.wallets.insert({ ...other, protocol: 'frost', address_type: 'p2tr', public_key: digest('x') });
      await records.wallets.insert({ ...wallet, wallet_id: 'w4', address_type: 'p2wsh', address: 'bcrt1qlonger' });
      expect((await records.wallets.list()).map(({ wallet_id }) => wallet_id)).toEqual(['w1', 'w3', 'w4']);
    });

    it('let one of 100 equal requests through, and none with another body', async () => {
      const claims = await Promise.all(Array.from({ length: 100 }, () => records.idempotency.put('w1', 'key-1', digest('body'))));
      expect(claims.filter(({ first }) => first)).toHaveLength(1);
      await expect(records.idempotency.put('w1', 'key-1', digest('other body'))).rejects.toEqual(refusal('idempotency.other_request'));
      const { tx_id } = await records.transactions.insert(payment());
      expect([await records.idempotency.settle('w1', 'key-1', tx_id), await records.idempotency.settle('w1', 'key-1', tx_id)]).toEqual([
        true,
        false,
      ]);
      expect(await records.idempotency.put('w1', 'key-1', digest('body'))).toMatchObject({ first: false, row: { tx_id } });
      expect(await records.idempotency.withdraw('w1', 'key-1')).toBe(false);
      await records.idempotency.put('w1', 'key-2', digest('mistaken body'));
      expect(await records.idempotency.withdraw('w1', 'key-2')).toBe(true);
      expect(await records.idempotency.put('w1', 'key-2', digest('corrected body'))).toMatchObject({ first: true });
    });
  });

  describe('addresses', () => {
    it('counters rise, for one that asked, and are in the log; nothing lowers or removes them', async () => {
      const of = { wallet_id: 'w1', account: 2_147_483_647, chain: 1 };
      await records.addresses.raise({ ...of, next: 3 }, 'node-2');
      await records.addresses.raise({ ...of, next: 2 }, 'node-3');
      await records.addresses.raise({ ...of, next: 2_147_483_648 }, 'node-4');
      expect(await records.addresses.list()).toEqual([{ ...of, next: 2_147_483_648 }]);
      const items = await records.audit.list({ subject: 'w1' });
      const rows = items.filter(({ action }) => action === 'address.change').map(({ detail }) => [detail['next'], detail['asked_by']]);
      expect(rows).toEqual([
        [3, 'node-2'],
        [2_147_483_648, 'node-4'],
      ]);
      for (const sql of ['update address_counters set next = 5', 'delete from address_counters'])
        await expect(as(database.url, sql)).rejects.toMatchObject({ constraint: 'address_counters_rise' });
      for (const wrong of [
        { ...of, chain: 2, next: 1 },
        { ...of, account: -1, next: 1 },
        { ...of, wallet_id: 'w9', next: 1 },
      ])
        await expect(records.addresses.raise(wrong, 'node-2')).rejects.toMatchObject({ name: 'Refusal' });
    });
  });

  describe('operations', () => {
    it('follow a ceremony from start to end, and what it left in the vault', async () => {
      const ceremony = {
        ceremony_id: 'dkg-1',
        kind: 'dkg',
        protocol: 'cggmp24',
        wallet_id: null,
        participants: ['node-1', 'node-2'],
      } as const;
      await records.ceremonies.insert(ceremony);
      await expect(records.ceremonies.insert(ceremony)).rejects.toEqual(refusal('database.duplicate'));
      expect(await records.ceremonies.progress('dkg-1', { step: 'proofs', done: 1, total: 4 })).toMatchObject({
        progress: { step: 'proofs', done: 1, total: 4 },
      });
      expect(await records.ceremonies.end('dkg-1', { wallet_id: 'w1' })).toMatchObject({
        status: 'completed',
        wallet_id: 'w1',
        progress: null,
      });
      expect(await records.ceremonies.end('dkg-1', { error: 'late' })).toBeUndefined();
      await records.ceremonies.addSealedObject({
        ceremony_id: 'dkg-1',
        party: 0,
        kind: 'key-share',
        public_key: wallet.public_key,
        size_bytes: 900,
        digest: digest('blob'),
      });
      expect(await records.ceremonies.sealedObjects('dkg-1')).toHaveLength(1);
      await records.ceremonies.insert({ ...ceremony, ceremony_id: 'dkg-2' });
      expect(await records.ceremonies.end('dkg-2', { error: 'wrong share', culprits: ['node-2'] })).toMatchObject({
        status: 'failed',
        culprits: ['node-2'],
        error: 'wrong share',
      });
      await records.ceremonies.insert({ ...ceremony, ceremony_id: 'dkg-3' });
      expect(await records.ceremonies.endInterrupted()).toBe(1);
      expect((await records.ceremonies.list()).map(({ ceremony_id, status }) => `${ceremony_id} ${status}`)).toEqual([
        'dkg-3 failed',
        'dkg-2 failed',
        'dkg-1 completed',
      ]);
    });

    it('record the use of a presignature once', async () => {
      const usage = {
        presignature_id: digest('p'),
        wallet_id: 'w1',
        tx_id: null,
        protocol: 'cggmp24',
        signers: ['node-1'],
        outcome: 'used',
        generation_time_ms: 812.4,
      } as const;
      const before = await records.operations.presignatureTotals('w1');
      await records.operations.addPresignatureUsage(usage);
      await expect(records.operations.addPresignatureUsage(usage)).rejects.toEqual(refusal('database.duplicate'));
      await records.operations.addPresignatureUsage({ ...usage, presignature_id: digest('q'), outcome: 'failed' });
      const { used, failed, last_hour } = before;
      expect(await records.operations.presignatureTotals('w1')).toEqual({ used: used + 1, failed: failed + 1, last_hour: last_hour + 1 });
      const newest = (await records.operations.presignatureUsage('w1')).slice(0, 2);
      expect(newest.map(({ generation_time_ms }) => generation_time_ms)).toEqual([812, 812]);
    });

    it('count votes and violations per node', async () => {
      const status = {
        node_id: 'node-9',
        node_index: 8,
        status: 'active',
        address: '127.0.0.1:9009',
        last_seen: new Date(1_700_000_000_000),
        rtt_ms: 1.5,
        problem: null,
      } as const;
      await records.operations.putNodeStatus(status);
      const violation = {
        node_id: 'node-9',
        kind: 'double_vote',
        session: digest('s'),
        round: 'votes',
        evidence: { first: 'aa', second: 'bb' },
      };
      await records.operations.addViolation(violation);
      await records.operations.putNodeStatus({ ...status, status: 'dead', last_seen: null, rtt_ms: null, problem: 'silent' });
      expect(await records.operations.nodeStatus()).toMatchObject([
        { node_id: 'node-9', status: 'dead', last_seen: status.last_seen, violations: 1, problem: 'silent' },
      ]);
      expect(await as(database.url, 'select status, violations from node_health')).toEqual([{ status: 'dead', violations: '1' }]);
      expect((await records.operations.violations())[0]).toMatchObject(violation);
      for (const evidence of [['a list'], 'text']) {
        await expect(records.operations.addViolation({ ...violation, evidence: evidence as never })).rejects.toEqual(
          refusal('database.constraint', 'byzantine_violations_evidence'),
        );
      }
    });
  });

  describe('the audit log', () => {
    it("tells a payment's life in order, in the transaction that changed it", async () => {
      const { tx_id } = await records.transactions.insert(payment());
      const proposal = digest(`audited ${tx_id}`);
      await records.transactions.transition(tx_id, ['created'], 'voting');
      await records.votes.openRound({ proposal, tx_id, quorum: 4, total_nodes: 5 });
      await records.votes.add({
        proposal,
        node_id: 'node-1',
        value: 'approve',
        reason: '',
        signature: digest('s').repeat(2),
        voted_at: new Date(),
      });
      await records.votes.closeRound(proposal, 'approved');
      await records.transactions.transition(tx_id, ['voting'], 'approved');
      await expect(records.transactions.transition(tx_id, ['approved'], 'signed', { raw: 'zz' })).rejects.toEqual(
        refusal('database.constraint'),
      );
      const rows = await records.audit.list({ subject: tx_id });
      expect(rows.map(({ action }) => action)).toEqual([
        'transaction.created',
        'transaction.voting',
        'voting.started',
        'vote.approve',
        'voting.approved',
        'transaction.approved',
      ]);
      expect(rows.every(({ actor }) => actor === 'node-1')).toBe(true);
      await records.audit.add('node.started', 'node-1', { version: '0.1.0', text: 'é "quoted"\n' });
      expect(await records.audit.list({ after: rows.at(-1)!.seq })).toMatchObject([
        { action: 'node.started', detail: { version: '0.1.0' } },
      ]);
    });

    it('stays whole under concurrent writers', async () => {
      await Promise.all(Array.from({ length: 60 }, (_, n) => records.audit.add('test.parallel', `s${n}`, { n })));
      const [{ rows, head }] = (await as(database.ownerUrl, `select count(*)::int as rows, max(seq)::int as head from audit_log`)) as [
        { rows: number; head: number },
      ];
      expect(rows).toBe(head);
      expect(await records.audit.verify()).toMatchObject({ intact: true });
    });

    it("refuses changes, by the node's role and by the owner alike", async () => {
      for (const table of ['audit_log', 'byzantine_violations']) {
        for (const sql of [`update ${table} set prev_hash = ''`, `delete from ${table}`, `truncate ${table}`]) {
          await expect(as(database.url, sql)).rejects.toMatchObject({ code: '42501' });
          await expect(as(database.ownerUrl, sql)).rejects.toMatchObject({ code: '42501', message: `${table} is append-only` });
        }
      }
      for (const sql of [
        `update chain_heads set seq = 0`,
        'delete from schema_migrations',
        'drop trigger audit_log_fixed on audit_log',
        'create table mine (n integer)',
      ]) {
        await expect(as(database.url, sql)).rejects.toMatchObject({ code: '42501' });
      }
      const database_ = openDatabase({ url: database.url, nodeId: 'node-1' });
      await expect(database_.query(`delete from audit_log`)).rejects.toEqual(refusal('database.forbidden'));
      await database_.close();
    });

    it('names the first row that a superuser changed, removed or added', async () => {
      const fresh = await server.newDatabase();
      await migrate({ url: fresh.ownerUrl, applicationRole: fresh.applicationRole });
      const own = openRecords({ url: fresh.url, nodeId: 'node-1' });
      for (let n = 1; n <= 6; n++) {
        await own.audit.add('test', `s${n}`, { n });
        if (n <= 2) await own.operations.addViolation({ node_id: 'node-2', kind: 'test', session: '', round: 'r', evidence: { n } });
      }
      const good = await own.audit.verify();
      expect(good).toMatchObject({ intact: true, rows: 6 + 2 + 2 });
      // Each change is made with the triggers off, looked at, and rolled back by restoring the rows.
      const tamper = async (sql: string) => {
        const client = new pg.Client({ connectionString: fresh.superuserUrl });
        await client.connect();
        try {
          await client.query(`set session_replication_role = replica`);
          await client.query(
            'create table if not exists kept as table audit_log; create table if not exists kept_v as table byzantine_violations; create table if not exists kept_h as table chain_heads',
          );
          await client.query(sql);
          const verdict = await own.audit.verify();
          await client.query(`delete from audit_log; insert into audit_log table kept; delete from byzantine_violations; insert into byzantine_violations table kept_v;
            delete from chain_heads; insert into chain_heads table kept_h`);
          return verdict;
        } finally {
          await client.end();
        }
      };
      const broken = (seq: number, table = 'audit_log') => expect.objectContaining({ intact: false, table, seq });
      expect(await tamper(`update audit_log set detail = '{"n": 7}' where seq = 3`)).toEqual(broken(3));
      expect(await tamper(`update audit_log set actor = 'node-2' where seq = 5`)).toEqual(broken(5));
      expect(await tamper(`update audit_log set at = at + interval '1 microsecond' where seq = 1`)).toEqual(broken(1));
      expect(await tamper(`delete from audit_log where seq = 4`)).toEqual(broken(4));
      expect(await tamper(`delete from audit_log where seq = 8`)).toEqual(broken(8));
      expect(await tamper(`update audit_log set hash = repeat('a', 64) where seq = 2`)).toEqual(broken(2));
      expect(await tamper(`update chain_heads set hash = repeat('a', 64) where chain = 'audit_log'`)).toEqual(broken(8));
      expect(
        await tamper(
          `insert into audit_log select 9, at, actor, action, subject, detail, prev_hash, repeat('b', 64) from audit_log where seq = 8`,
        ),
      ).toEqual(broken(9));
      expect(await tamper(`update byzantine_violations set node_id = 'node-3' where seq = 2`)).toEqual(broken(2, 'byzantine_violations'));
      expect(await tamper('select 1')).toEqual(good);
      await own.close();
    });
  });

  it('finds payments by state through the index among 10 000', async () => {
    const fresh = await server.newDatabase();
    await migrate({ url: fresh.ownerUrl, applicationRole: fresh.applicationRole });
    const own = openRecords({ url: fresh.url, nodeId: 'node-1' });
    await own.wallets.insert(wallet);
    await own.close();
    const plan = await as(
      fresh.superuserUrl,
      `set session_replication_role = replica;
       insert into transactions (tx_id, wallet_id, txid, state, protocol, recipients, amount_sats, fee_sats, fee_rate, vsize, unsigned_tx)
       select gen_random_uuid(), 'w1', md5(n::text) || md5(n::text), case when n % 1000 = 0 then 'voting' else 'confirmed' end, 'cggmp24', '[{}]', 1, 1, 1, 1, '02'
       from generate_series(1, 10000) n;
       analyze transactions;`,
    ).then(() => as(fresh.url, `explain select * from transactions where state = 'voting' order by created_at desc limit 20`));
    expect(JSON.stringify(plan)).toContain('transactions_by_state');
  });

  it('refuses what is no PostgreSQL URL without showing it, and too many connections', () => {
    expect(() => openDatabase({ url: 'mysql://u:secret@h/d', nodeId: 'n' })).toThrow(refusal('postgres.url') as never);
    expect(() => openDatabase({ url: 'secret', nodeId: 'n' })).toThrow(/^not a PostgreSQL URL$/);
    expect(() => openDatabase({ url: database.url, nodeId: 'n', maxConnections: 11 })).toThrow(refusal('postgres.connections') as never);
  });
}

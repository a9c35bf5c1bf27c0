/** The records of one node: everything it remembers that is no secret. */
import { openDatabase, type DatabaseOptions } from '../database.ts';
import { AddressRecords } from './addresses.ts';
import { AuditRecords } from './audit.ts';
import { CeremonyRecords, OperationRecords } from './operations.ts';
import { TransactionRecords } from './transactions.ts';
import { VoteRecords } from './votes.ts';
import { IdempotencyRecords, WalletRecords } from './wallets.ts';

export interface Records {
  readonly transactions: TransactionRecords;
  readonly votes: VoteRecords;
  readonly wallets: WalletRecords;
  readonly addresses: AddressRecords;
  readonly idempotency: IdempotencyRecords;
  readonly ceremonies: CeremonyRecords;
  readonly operations: OperationRecords;
  readonly audit: AuditRecords;
  /** Whether the database answers now; never throws. */
  ping(): Promise<boolean>;
  close(): Promise<void>;
}

/** The database must be migrated. Opens no connection yet. */
export function openRecords(options: DatabaseOptions): Records {
  const database = openDatabase(options);
  return {
    transactions: new TransactionRecords(database),
    votes: new VoteRecords(database),
    wallets: new WalletRecords(database),
    addresses: new AddressRecords(database),
    idempotency: new IdempotencyRecords(database),
    ceremonies: new CeremonyRecords(database),
    operations: new OperationRecords(database),
    audit: new AuditRecords(database),
    ping: () => database.ping(),
    close: () => database.close(),
  };
}

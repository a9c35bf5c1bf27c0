/** Every migration, in order. A released one never changes; a change is a new one. */
import type { Migration } from './migration.ts';
import { records } from './0001-records.ts';
import { audit } from './0002-audit.ts';
import { views } from './0003-views.ts';
import { keyChanges } from './0004-key-changes.ts';
import { addresses } from './0005-addresses.ts';
import { addressTypes } from './0006-address-types.ts';
import { signing } from './0007-signing.ts';

export const MIGRATIONS: readonly Migration[] = [records, audit, views, keyChanges, addresses, addressTypes, signing];

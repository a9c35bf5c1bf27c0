/** ECDSA wallets have P2WPKH or P2WSH addresses; a type belongs to one protocol. */
import type { Migration } from './migration.ts';

export const addressTypes: Migration = {
  version: 6,
  name: 'address-types',
  sql: `
alter table wallets drop constraint wallets_address_type_check;
alter table wallets add constraint wallets_address_type
  check (address_type = any (case protocol when 'cggmp24' then array['p2wpkh', 'p2wsh'] else array['p2tr'] end));
`,
};

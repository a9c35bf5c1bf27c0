/** Changes of a key's shares are recorded like the other ceremonies. */
import type { Migration } from './migration.ts';

export const keyChanges: Migration = {
  version: 4,
  name: 'key-changes',
  sql: `
alter table ceremonies drop constraint ceremonies_kind_check;
alter table ceremonies add constraint ceremonies_kind_check check (kind in ('aux', 'dkg', 'presign', 'refresh', 'reshare'));
`,
};

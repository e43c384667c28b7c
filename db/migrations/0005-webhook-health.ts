import type { Kysely } from 'kysely';
import type { Tables } from '../../src/store/schema.ts';
import { createTables } from './create-tables.ts';

/** How a webhook fails, and every secret of it that is still good. */
export async function up(db: Kysely<Tables>): Promise<void> {
  const { column } = createTables(db);
  await column('webhooks', 'failures', 'integer');
  await column('webhooks', 'failing_days', 'integer');
  await column('webhooks', 'last_failure_at', 'bigint');
  // Takes the place of `old_secret_sealed` and `old_secret_until`, which are read where it is null.
  await column('webhooks', 'old_secrets_json', 'mediumtext');
}

import type { Kysely } from 'kysely';
import type { Tables } from '../../src/store/schema.ts';
import { createTables } from './create-tables.ts';

/** An action says which calls it wants; a trigger, what was left out of it and which steps did not want it. */
export async function up(db: Kysely<Tables>): Promise<void> {
  const { column } = createTables(db);
  await column('actions', 'when_json', 'mediumtext');
  await column('triggers', 'warnings_json', 'mediumtext');
  await column('triggers', 'skipped_json', 'mediumtext');
}

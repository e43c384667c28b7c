import type { Kysely } from 'kysely';
import type { Tables } from '../../src/store/schema.ts';
import { createTables } from './create-tables.ts';

/** An alarm names the message that raised it, so that it need not hold a large one. */
export async function up(db: Kysely<Tables>): Promise<void> {
  await createTables(db).column('alarms', 'event_id', 'varchar(36)');
}

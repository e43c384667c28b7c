import { type Kysely, sql } from 'kysely';
import type { Tables } from '../../src/store/schema.ts';
import { createTables } from './create-tables.ts';

/** Who is online is written down, and what they want said if they never come back: a server that dies can't say it. */
export async function up(db: Kysely<Tables>): Promise<void> {
  const { table, column, index } = createTables(db);
  await column('devices', 'online_node', 'varchar(36)');
  await column('devices', 'online_door', 'varchar(10)');
  await index('online', 'devices', ['online_node', 'id']);
  await table('wills', (t) =>
    t
      .addColumn('id', 'varchar(36)', (c) => c.primaryKey())
      .addColumn('device_id', 'bigint', (c) => c.notNull())
      .addColumn('node_id', 'varchar(36)', (c) => c.notNull())
      .addColumn('what', 'varchar(10)', (c) => c.notNull())
      .addColumn('name', 'varchar(200)')
      .addColumn('bytes', sql`mediumblob`, (c) => c.notNull()),
  );
  await index('node', 'wills', ['node_id', 'device_id']);
}

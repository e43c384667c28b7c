import type { Kysely } from 'kysely';
import type { Tables } from '../../src/store/schema.ts';
import { createTables } from './create-tables.ts';

/**
 * Alarms say why they are over and which element of a list raised them, and are found while they are active. Those that
 * no message could ever end are over.
 */
export async function up(db: Kysely<Tables>): Promise<void> {
  const { column, index } = createTables(db);
  await column('alarms', 'element', 'bigint');
  await column('alarms', 'cleared_reason', 'varchar(20)');
  await column('alarms', 'webhooks_json', 'varchar(2000)');
  await index('active', 'alarms', ['active', 'rule_id', 'device_id']);
  await index('quiet', 'alarms', ['active', 'notified', 'quiet_until']);
  await db
    .updateTable('alarms')
    .set((eb) => ({ active: 0, cleared_at: eb.ref('last_seen'), cleared_reason: 'no_clear_when' }))
    .where('active', '=', 1)
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('alarm_rules')
            .select('alarm_rules.id')
            .whereRef('alarm_rules.id', '=', 'alarms.rule_id')
            .where('alarm_rules.clear_when_json', 'is not', null),
        ),
      ),
    )
    .execute();
}

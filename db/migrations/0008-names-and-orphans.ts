import type { Kysely } from 'kysely';
import type { Tables } from '../../src/store/schema.ts';
import { createTables } from './create-tables.ts';

/**
 * Filters know device types by id, so that a new name makes no difference, and webhooks and rules say when all that they
 * name is gone.
 */
export async function up(db: Kysely<Tables>): Promise<void> {
  const { column } = createTables(db);
  await column('webhooks', 'problem', 'varchar(500)');
  await column('alarm_rules', 'problem', 'varchar(500)');
  const types = await db.selectFrom('device_types').select(['project_id', 'id', 'name']).execute();
  const webhooks = await db.selectFrom('webhooks').select(['id', 'project_id', 'filter_json']).execute();
  for (const { id, project_id, filter_json } of webhooks) {
    const filter = JSON.parse(filter_json) as { device_types?: string[] };
    if (!filter.device_types) continue;
    const own = types.filter((type) => type.project_id === project_id);
    const ids = filter.device_types.map(
      (name) => (own.find((type) => type.id === name) ?? own.find((type) => type.name === name))?.id ?? name,
    );
    const changed = { ...filter, device_types: [...new Set(ids)] };
    await db
      .updateTable('webhooks')
      .set({ filter_json: JSON.stringify(changed) })
      .where('id', '=', id)
      .execute();
  }
}

import { type Kysely, sql } from 'kysely';
import type { Tables } from '../../src/store/schema.ts';
import { createTables } from './create-tables.ts';

const id = 'varchar(36)';
const name = 'varchar(200)';
const reason = 'varchar(500)';
const long = sql`mediumtext`;
const bytes = sql`mediumblob`;

export async function up(db: Kysely<Tables>): Promise<void> {
  const { table, index } = createTables(db);

  await table('nodes', (t) =>
    t.addColumn('id', id, (c) => c.primaryKey()).addColumn('seen_at', 'bigint', (c) => c.notNull()),
  );
  await table('events', (t) =>
    t
      .addColumn('id', id, (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('kind', 'varchar(10)', (c) => c.notNull())
      .addColumn('type', name)
      .addColumn('label', name)
      .addColumn('device_id', 'bigint')
      .addColumn('origin_json', long, (c) => c.notNull())
      .addColumn('media_type', name, (c) => c.notNull())
      .addColumn('body', bytes)
      .addColumn('body_bytes', 'bigint', (c) => c.notNull())
      .addColumn('problem', reason)
      .addColumn('at', 'bigint', (c) => c.notNull()),
  );
  await index('project', 'events', ['project_id', 'id']);
  await index('device', 'events', ['device_id', 'id']);
  await table('event_parts', (t) =>
    t
      .addColumn('event_id', id, (c) => c.notNull())
      .addColumn('place', 'integer', (c) => c.notNull())
      .addColumn('bytes', bytes, (c) => c.notNull())
      .addPrimaryKeyConstraint('event_parts_id', ['event_id', 'place']),
  );
  await table('webhooks', (t) =>
    t
      .addColumn('id', id, (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('device_id', 'bigint', (c) => c.notNull())
      .addColumn('module_id', 'varchar(100)')
      .addColumn('name', 'varchar(254)', (c) => c.notNull())
      .addColumn('description', long, (c) => c.notNull())
      .addColumn('url', long, (c) => c.notNull())
      .addColumn('signature', 'varchar(20)', (c) => c.notNull())
      .addColumn('secret_sealed', long)
      .addColumn('old_secret_sealed', long)
      .addColumn('old_secret_until', 'bigint')
      .addColumn('headers_sealed', long, (c) => c.notNull())
      .addColumn('body', long)
      .addColumn('command_url', long)
      .addColumn('command_secret_sealed', long)
      .addColumn('filter_json', long, (c) => c.notNull())
      .addColumn('metadata_json', long, (c) => c.notNull())
      .addColumn('ordered', 'integer', (c) => c.notNull())
      .addColumn('enabled', 'integer', (c) => c.notNull())
      .addColumn('disabled_reason', reason)
      .addColumn('failing_since', 'bigint')
      .addColumn('last_success_at', 'bigint')
      .addColumn('created_at', 'bigint', (c) => c.notNull())
      .addColumn('updated_at', 'bigint', (c) => c.notNull())
      .addUniqueConstraint('webhooks_name', ['project_id', 'device_id', 'name'])
      .addUniqueConstraint('webhooks_module', ['project_id', 'module_id']),
  );
  await index('project', 'webhooks', ['project_id', 'id']);
  await table('deliveries', (t) =>
    t
      .addColumn('id', id, (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('webhook_id', id, (c) => c.notNull())
      .addColumn('event_id', id, (c) => c.notNull())
      .addColumn('status', 'varchar(10)', (c) => c.notNull())
      .addColumn('attempts', 'integer', (c) => c.notNull())
      .addColumn('next_at', 'bigint', (c) => c.notNull())
      .addColumn('node_id', id)
      .addColumn('order_key', 'varchar(60)')
      .addColumn('last_status', 'integer')
      .addColumn('last_error', reason)
      .addColumn('created_at', 'bigint', (c) => c.notNull())
      .addColumn('finished_at', 'bigint'),
  );
  await index('due', 'deliveries', ['webhook_id', 'status', 'next_at']);
  await index('webhook', 'deliveries', ['webhook_id', 'id']);
  await index('event', 'deliveries', ['event_id']);
  await index('order', 'deliveries', ['order_key', 'id']);
  await table('webhook_logs', (t) =>
    t
      .addColumn('id', id, (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('webhook_id', id, (c) => c.notNull())
      .addColumn('delivery_id', id)
      .addColumn('level', 'varchar(10)', (c) => c.notNull())
      .addColumn('message', reason, (c) => c.notNull())
      .addColumn('attempt', 'integer')
      .addColumn('status', 'integer')
      .addColumn('duration_ms', 'integer')
      .addColumn('answer', long)
      .addColumn('at', 'bigint', (c) => c.notNull()),
  );
  await index('webhook', 'webhook_logs', ['webhook_id', 'id']);
  await index('delivery', 'webhook_logs', ['delivery_id']);
  await table('alarm_rules', (t) =>
    t
      .addColumn('id', id, (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('name', name, (c) => c.notNull())
      .addColumn('level', 'varchar(10)', (c) => c.notNull())
      .addColumn('type_id', id, (c) => c.notNull())
      .addColumn('message_type', name, (c) => c.notNull())
      .addColumn('when_json', long, (c) => c.notNull())
      .addColumn('clear_when_json', long)
      .addColumn('webhooks_json', long, (c) => c.notNull())
      .addColumn('actions_json', long, (c) => c.notNull())
      .addColumn('cooldown_seconds', 'integer', (c) => c.notNull())
      .addColumn('enabled', 'integer', (c) => c.notNull())
      .addColumn('created_at', 'bigint', (c) => c.notNull())
      .addColumn('updated_at', 'bigint', (c) => c.notNull())
      .addUniqueConstraint('alarm_rules_name', ['project_id', 'name']),
  );
  await table('alarms', (t) =>
    t
      .addColumn('id', id, (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('rule_id', id, (c) => c.notNull())
      .addColumn('rule_name', name, (c) => c.notNull())
      .addColumn('level', 'varchar(10)', (c) => c.notNull())
      .addColumn('device_id', 'bigint', (c) => c.notNull())
      .addColumn('device_json', long, (c) => c.notNull())
      .addColumn('message_type', name, (c) => c.notNull())
      .addColumn('observation_json', long, (c) => c.notNull())
      .addColumn('active', 'integer', (c) => c.notNull())
      .addColumn('first_seen', 'bigint', (c) => c.notNull())
      .addColumn('last_seen', 'bigint', (c) => c.notNull())
      .addColumn('notified', 'integer', (c) => c.notNull())
      .addColumn('quiet_until', 'bigint', (c) => c.notNull())
      .addColumn('note', long)
      .addColumn('noted_by', name)
      .addColumn('noted_at', 'bigint')
      .addColumn('cleared_by', name)
      .addColumn('cleared_at', 'bigint'),
  );
  await index('project', 'alarms', ['project_id', 'id']);
  await index('rule', 'alarms', ['rule_id', 'device_id', 'id']);
  await table('firings', (t) =>
    t
      .addColumn('id', id, (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('event_id', name, (c) => c.notNull())
      .addColumn('alarm_id', id, (c) => c.notNull())
      .addColumn('payload_json', long, (c) => c.notNull()),
  );
}

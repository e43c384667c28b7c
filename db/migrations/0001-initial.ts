import { type Kysely, sql } from 'kysely';
import type { Tables } from '../../src/store/schema.ts';
import { createTables } from './create-tables.ts';

const id = 'varchar(36)';
const hash = 'varchar(64)';
const name = 'varchar(200)';
const address = 'varchar(45)';
const long = sql`mediumtext`;

export async function up(db: Kysely<Tables>): Promise<void> {
  const { table, index } = createTables(db);

  await table('settings', (t) =>
    t.addColumn('name', name, (c) => c.primaryKey()).addColumn('value', long, (c) => c.notNull()),
  );
  await table('sequences', (t) =>
    t
      .addColumn('name', 'varchar(20)', (c) => c.primaryKey())
      .addColumn('next_value', 'bigint', (c) => c.notNull()),
  );
  await table('projects', (t) =>
    t
      .addColumn('id', 'bigint', (c) => c.primaryKey())
      .addColumn('name', name, (c) => c.notNull().unique())
      .addColumn('created_at', 'bigint', (c) => c.notNull()),
  );
  await table('keys', (t) =>
    t
      .addColumn('id', id, (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('name', name, (c) => c.notNull())
      .addColumn('prefix', 'varchar(20)', (c) => c.notNull())
      .addColumn('hash', hash, (c) => c.notNull().unique())
      .addColumn('secret_sealed', 'varchar(500)', (c) => c.notNull())
      .addColumn('scopes_json', long, (c) => c.notNull())
      .addColumn('event_ids_json', long)
      .addColumn('allowed_ips_json', long)
      .addColumn('expires_at', 'bigint')
      .addColumn('enabled', 'integer', (c) => c.notNull())
      .addColumn('last_used_at', 'bigint')
      .addColumn('created_at', 'bigint', (c) => c.notNull())
      .addUniqueConstraint('keys_name', ['project_id', 'name']),
  );
  await table('users', (t) =>
    t
      .addColumn('id', id, (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('email', name, (c) => c.notNull().unique())
      .addColumn('name', name, (c) => c.notNull())
      .addColumn('role', 'varchar(20)', (c) => c.notNull())
      .addColumn('password_hash', name, (c) => c.notNull())
      .addColumn('enabled', 'integer', (c) => c.notNull())
      .addColumn('last_login_at', 'bigint')
      .addColumn('created_at', 'bigint', (c) => c.notNull()),
  );
  await index('project', 'users', ['project_id', 'id']);
  await table('sessions', (t) =>
    t
      .addColumn('hash', hash, (c) => c.primaryKey())
      .addColumn('user_id', id, (c) => c.notNull())
      .addColumn('expires_at', 'bigint', (c) => c.notNull())
      .addColumn('created_at', 'bigint', (c) => c.notNull()),
  );
  await index('user', 'sessions', ['user_id']);
  await table('audit', (t) =>
    t
      .addColumn('id', id, (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('at', 'bigint', (c) => c.notNull())
      .addColumn('actor_kind', 'varchar(20)', (c) => c.notNull())
      .addColumn('actor_id', id)
      .addColumn('actor_name', name, (c) => c.notNull())
      .addColumn('address', address)
      .addColumn('change', 'varchar(60)', (c) => c.notNull())
      .addColumn('subject_kind', 'varchar(40)', (c) => c.notNull())
      .addColumn('subject_id', name, (c) => c.notNull())
      .addColumn('details_json', long, (c) => c.notNull()),
  );
  await index('project', 'audit', ['project_id', 'id']);
  await table('groups', (t) =>
    t
      .addColumn('id', 'bigint', (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('parent_id', 'bigint', (c) => c.notNull())
      .addColumn('name', name, (c) => c.notNull())
      .addColumn('path', 'varchar(255)', (c) => c.notNull())
      .addColumn('created_at', 'bigint', (c) => c.notNull())
      .addUniqueConstraint('groups_name', ['project_id', 'parent_id', 'name']),
  );
  await index('path', 'groups', ['project_id', 'path']);
  await table('device_types', (t) =>
    t
      .addColumn('id', id, (c) => c.notNull())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('name', name, (c) => c.notNull())
      .addColumn('message_types_json', long, (c) => c.notNull())
      .addColumn('created_at', 'bigint', (c) => c.notNull())
      .addPrimaryKeyConstraint('device_types_id', ['project_id', 'id'])
      .addUniqueConstraint('device_types_name', ['project_id', 'name']),
  );
  await table('devices', (t) =>
    t
      .addColumn('id', 'bigint', (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('group_id', 'bigint')
      .addColumn('type_id', id)
      .addColumn('name', name, (c) => c.notNull())
      .addColumn('metadata_json', long, (c) => c.notNull())
      .addColumn('token_hash', hash, (c) => c.notNull().unique())
      .addColumn('created_at', 'bigint', (c) => c.notNull())
      .addColumn('connected_at', 'bigint')
      .addColumn('last_seen_at', 'bigint')
      .addColumn('address', address)
      .addUniqueConstraint('devices_name', ['project_id', 'name']),
  );
  await index('project', 'devices', ['project_id', 'id']);
  await index('group', 'devices', ['group_id', 'id']);
  await table('device_tags', (t) =>
    t
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('tag', 'varchar(100)', (c) => c.notNull())
      .addColumn('device_id', 'bigint', (c) => c.notNull())
      .addPrimaryKeyConstraint('device_tags_id', ['project_id', 'tag', 'device_id']),
  );
  await index('device', 'device_tags', ['device_id']);
  await table('actions', (t) =>
    t
      .addColumn('id', id, (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('event_id', name, (c) => c.notNull())
      .addColumn('name', name, (c) => c.notNull())
      .addColumn('steps_json', long, (c) => c.notNull())
      .addColumn('allow_get', 'integer', (c) => c.notNull())
      .addColumn('confirm', 'integer', (c) => c.notNull())
      .addColumn('enabled', 'integer', (c) => c.notNull())
      .addColumn('created_at', 'bigint', (c) => c.notNull())
      .addColumn('updated_at', 'bigint', (c) => c.notNull())
      .addUniqueConstraint('actions_event', ['project_id', 'event_id']),
  );
  await table('links', (t) =>
    t
      .addColumn('id', id, (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('event_id', name, (c) => c.notNull())
      .addColumn('token_hash', hash, (c) => c.notNull().unique())
      .addColumn('token_sealed', 'varchar(500)', (c) => c.notNull())
      .addColumn('payload_json', long, (c) => c.notNull())
      .addColumn('expires_at', 'bigint')
      .addColumn('max_uses', 'integer')
      .addColumn('uses', 'integer', (c) => c.notNull())
      .addColumn('created_at', 'bigint', (c) => c.notNull()),
  );
  await index('project', 'links', ['project_id', 'id']);
  await table('triggers', (t) =>
    t
      .addColumn('id', id, (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('event_id', name, (c) => c.notNull())
      .addColumn('action_id', id)
      .addColumn('source', 'varchar(20)', (c) => c.notNull())
      .addColumn('status', 'varchar(20)', (c) => c.notNull())
      .addColumn('reason', 'varchar(500)')
      .addColumn('key_id', id)
      .addColumn('link_id', id)
      .addColumn('address', address)
      .addColumn('user_agent', name)
      .addColumn('call_json', long, (c) => c.notNull())
      .addColumn('created_at', 'bigint', (c) => c.notNull()),
  );
  await index('project', 'triggers', ['project_id', 'id']);
  await table('idempotency', (t) =>
    t
      .addColumn('caller', 'varchar(60)', (c) => c.notNull())
      .addColumn('idempotency_key', 'varchar(255)', (c) => c.notNull())
      .addColumn('call_hash', hash, (c) => c.notNull())
      .addColumn('trigger_id', id, (c) => c.notNull())
      .addColumn('answer_json', long, (c) => c.notNull())
      .addColumn('created_at', 'bigint', (c) => c.notNull())
      .addPrimaryKeyConstraint('idempotency_id', ['caller', 'idempotency_key']),
  );
  await index('age', 'idempotency', ['created_at']);
  await table('commands', (t) =>
    t
      .addColumn('id', id, (c) => c.primaryKey())
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('trigger_id', id)
      .addColumn('source', 'varchar(60)')
      .addColumn('function', 'varchar(60)', (c) => c.notNull())
      .addColumn('slot', 'varchar(20)')
      .addColumn('params_json', long, (c) => c.notNull())
      .addColumn('target_json', long, (c) => c.notNull())
      .addColumn('issued_at', 'bigint', (c) => c.notNull())
      .addColumn('expires_at', 'bigint')
      .addColumn('in_force', 'integer', (c) => c.notNull())
      .addColumn('canceled_at', 'bigint'),
  );
  await index('project', 'commands', ['project_id', 'id']);
  await index('trigger', 'commands', ['trigger_id']);
  await index('force', 'commands', ['in_force', 'id']);
  await table('pulses', (t) =>
    t
      .addColumn('project_id', 'bigint', (c) => c.notNull())
      .addColumn('scope', 'varchar(110)', (c) => c.notNull())
      .addColumn('expires_at', 'bigint', (c) => c.notNull())
      .addColumn('command_id', id, (c) => c.notNull())
      .addPrimaryKeyConstraint('pulses_id', ['project_id', 'scope', 'expires_at', 'command_id']),
  );
  await index('age', 'pulses', ['expires_at']);
  await table('receipts', (t) =>
    t
      .addColumn('command_id', id, (c) => c.notNull())
      .addColumn('device_id', 'bigint', (c) => c.notNull())
      .addColumn('status', 'varchar(10)', (c) => c.notNull())
      .addColumn('detail', 'varchar(500)')
      .addColumn('at', 'bigint', (c) => c.notNull())
      .addPrimaryKeyConstraint('receipts_id', ['command_id', 'device_id', 'status']),
  );

  await db
    .insertInto('sequences')
    .ignore()
    .values([
      { name: 'project', next_value: 2 },
      { name: 'group', next_value: 1 },
      { name: 'device', next_value: 1 },
    ])
    .execute();
  await db
    .insertInto('projects')
    .ignore()
    .values({ id: 1, name: 'Default', created_at: Date.now() })
    .execute();
}

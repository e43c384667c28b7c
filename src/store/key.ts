/** The table `keys`: API keys. */
import type { Scope } from '../domain/access/caller.ts';
import { type Change, defined, fromFlag, fromJson, isEmpty, toFlag, toJson } from './columns.ts';
import { oldestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, Row } from './schema.ts';

export type Key = {
  id: string;
  projectId: number;
  name: string;
  /** The part of the secret that may be shown. */
  prefix: string;
  hash: string;
  secretSealed: string;
  scopes: Scope[];
  /** The actions it may fire, null for all. */
  eventIds: string[] | null;
  /** Addresses and networks it is good from, null for all. */
  allowedIps: string[] | null;
  expiresAt: number | null;
  enabled: boolean;
  lastUsedAt: number | null;
  createdAt: number;
};

function fromRow(row: Row<'keys'>): Key {
  return {
    id: row.id,
    projectId: row.project_id,
    name: row.name,
    prefix: row.prefix,
    hash: row.hash,
    secretSealed: row.secret_sealed,
    scopes: fromJson(row.scopes_json),
    eventIds: fromJson(row.event_ids_json),
    allowedIps: fromJson(row.allowed_ips_json),
    expiresAt: row.expires_at,
    enabled: fromFlag(row.enabled),
    lastUsedAt: row.last_used_at,
    createdAt: row.created_at,
  };
}

function toRow(key: Key): Row<'keys'>;
function toRow(key: Change<Key>): Change<Row<'keys'>>;
function toRow(key: Change<Key>): Change<Row<'keys'>> {
  return {
    id: key.id,
    project_id: key.projectId,
    name: key.name,
    prefix: key.prefix,
    hash: key.hash,
    secret_sealed: key.secretSealed,
    scopes_json: toJson(key.scopes),
    event_ids_json: toJson(key.eventIds),
    allowed_ips_json: toJson(key.allowedIps),
    expires_at: key.expiresAt,
    enabled: toFlag(key.enabled),
    last_used_at: key.lastUsedAt,
    created_at: key.createdAt,
  };
}

export async function insertKey(db: Db, key: Key): Promise<void> {
  await db.insertInto('keys').values(toRow(key)).execute();
}

export async function selectKey(db: Db, projectId: number, id: string): Promise<Key | undefined> {
  const row = await selectKeysOf(db, projectId).where('id', '=', id).executeTakeFirst();
  return row && fromRow(row);
}

export async function selectKeyByHash(db: Db, hash: string): Promise<Key | undefined> {
  const row = await db.selectFrom('keys').selectAll().where('hash', '=', hash).executeTakeFirst();
  return row && fromRow(row);
}

export async function selectKeys(db: Db, projectId: number, page: PageQuery): Promise<Page<Key>> {
  return oldestFirst(selectKeysOf(db, projectId), page, fromRow);
}

function selectKeysOf(db: Db, projectId: number) {
  return db.selectFrom('keys').selectAll().where('project_id', '=', projectId);
}

/** Is there any key at all whose scopes hold `scope`? */
export async function hasKeyWithScope(db: Db, scope: Scope): Promise<boolean> {
  const row = await db
    .selectFrom('keys')
    .select('id')
    .where('scopes_json', 'like', `%"${scope}"%`)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

export async function updateKey(db: Db, id: string, change: Change<Key>): Promise<void> {
  if (isEmpty(change)) return;
  await db
    .updateTable('keys')
    .set(defined<Row<'keys'>>(toRow(change)))
    .where('id', '=', id)
    .execute();
}

export async function deleteKey(db: Db, id: string): Promise<void> {
  await db.deleteFrom('keys').where('id', '=', id).execute();
}

export async function deleteProjectKeys(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('keys').where('project_id', '=', projectId).execute();
}

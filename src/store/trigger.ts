import { chunksOf } from './dialect.ts';
import { type Page, type PageQuery, pageOf } from './page.ts';
import type { Db, NewRow, Row } from './schema.ts';

export async function insertTriggers(db: Db, rows: NewRow<'triggers'>[]): Promise<void> {
  for (const chunk of chunksOf(db, rows)) await db.insertInto('triggers').values(chunk).execute();
}

export type TriggerFilter = {
  event_id?: string | undefined;
  status?: string | undefined;
  key_id?: string | undefined;
};

/** Newest first. */
export async function listTriggers(
  db: Db,
  projectId: number,
  filter: TriggerFilter,
  page: PageQuery,
): Promise<Page<Row<'triggers'>>> {
  let query = db.selectFrom('triggers').selectAll().where('project_id', '=', projectId);
  if (filter.event_id !== undefined) query = query.where('event_id', '=', filter.event_id);
  if (filter.status !== undefined) query = query.where('status', '=', filter.status);
  if (filter.key_id !== undefined) query = query.where('key_id', '=', filter.key_id);
  if (page.cursor) query = query.where('id', '<', page.cursor);
  const rows = await query
    .orderBy('id', 'desc')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page.limit, (row) => row.id);
}

/** Deletes up to `limit` triggers whose id is below `id`, oldest first. */
export async function deleteTriggersBelow(db: Db, id: string, limit: number): Promise<number> {
  const old = await db
    .selectFrom('triggers')
    .select('id')
    .where('id', '<', id)
    .orderBy('id')
    .limit(limit)
    .execute();
  const last = old.at(-1);
  if (last) await db.deleteFrom('triggers').where('id', '<=', last.id).execute();
  return old.length;
}

export async function findAnswer(
  db: Db,
  caller: string,
  idempotencyKey: string,
  since: number,
): Promise<Row<'idempotency'> | undefined> {
  return db
    .selectFrom('idempotency')
    .selectAll()
    .where('caller', '=', caller)
    .where('idempotency_key', '=', idempotencyKey)
    .where('created_at', '>=', since)
    .executeTakeFirst();
}

export async function insertAnswer(db: Db, row: NewRow<'idempotency'>): Promise<void> {
  await db
    .deleteFrom('idempotency')
    .where('caller', '=', row.caller)
    .where('idempotency_key', '=', row.idempotency_key)
    .execute();
  await db.insertInto('idempotency').values(row).execute();
}

export async function deleteAnswersBefore(db: Db, time: number): Promise<void> {
  await db.deleteFrom('idempotency').where('created_at', '<', time).execute();
}

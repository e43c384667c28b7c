import { type Page, type PageQuery, pageOf } from './page.ts';
import type { Db, NewRow, Row } from './schema.ts';

export async function insertAudit(db: Db, row: NewRow<'audit'>): Promise<void> {
  await db.insertInto('audit').values(row).execute();
}

/** Newest first. */
export async function listAudit(
  db: Db,
  projectId: number,
  filter: { change?: string | undefined; subject_kind?: string | undefined; subject_id?: string | undefined },
  page: PageQuery,
): Promise<Page<Row<'audit'>>> {
  let query = db.selectFrom('audit').selectAll().where('project_id', '=', projectId);
  if (filter.change) query = query.where('change', '=', filter.change);
  if (filter.subject_kind) query = query.where('subject_kind', '=', filter.subject_kind);
  if (filter.subject_id) query = query.where('subject_id', '=', filter.subject_id);
  if (page.cursor) query = query.where('id', '<', page.cursor);
  const rows = await query
    .orderBy('id', 'desc')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page.limit, (row) => row.id);
}

export async function deleteAuditBefore(db: Db, time: number, limit: number): Promise<number> {
  const old = await db.selectFrom('audit').select('id').where('at', '<', time).limit(limit).execute();
  if (old.length === 0) return 0;
  await db
    .deleteFrom('audit')
    .where(
      'id',
      'in',
      old.map((row) => row.id),
    )
    .execute();
  return old.length;
}

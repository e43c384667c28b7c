/** The table `audit`: who changed what of the set-up. */
import type { Caller } from '../domain/access/caller.ts';
import { fromJson, toJson } from './columns.ts';
import { newestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, Row } from './schema.ts';

export type AuditEntry = {
  id: string;
  projectId: number;
  at: number;
  actorKind: Caller['kind'];
  actorId: string | null;
  actorName: string;
  address: string | null;
  /** Such as `key.create`. */
  change: string;
  subjectKind: string;
  subjectId: string;
  details: Record<string, unknown>;
};

function fromRow(row: Row<'audit'>): AuditEntry {
  return {
    id: row.id,
    projectId: row.project_id,
    at: row.at,
    actorKind: row.actor_kind as Caller['kind'],
    actorId: row.actor_id,
    actorName: row.actor_name,
    address: row.address,
    change: row.change,
    subjectKind: row.subject_kind,
    subjectId: row.subject_id,
    details: fromJson(row.details_json),
  };
}

function toRow(entry: AuditEntry): Row<'audit'> {
  return {
    id: entry.id,
    project_id: entry.projectId,
    at: entry.at,
    actor_kind: entry.actorKind,
    actor_id: entry.actorId,
    actor_name: entry.actorName,
    address: entry.address,
    change: entry.change,
    subject_kind: entry.subjectKind,
    subject_id: entry.subjectId,
    details_json: toJson(entry.details),
  };
}

export async function insertAuditEntry(db: Db, entry: AuditEntry): Promise<void> {
  await db.insertInto('audit').values(toRow(entry)).execute();
}

export type AuditFilter = {
  change?: string | undefined;
  subjectKind?: string | undefined;
  subjectId?: string | undefined;
};

/** Newest first. */
export async function selectAuditEntries(
  db: Db,
  projectId: number,
  filter: AuditFilter,
  page: PageQuery,
): Promise<Page<AuditEntry>> {
  let query = db.selectFrom('audit').selectAll().where('project_id', '=', projectId);
  if (filter.change) query = query.where('change', '=', filter.change);
  if (filter.subjectKind) query = query.where('subject_kind', '=', filter.subjectKind);
  if (filter.subjectId) query = query.where('subject_id', '=', filter.subjectId);
  return newestFirst(query, page, fromRow);
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

/** The table `links`: safe trigger URLs. */
import { fromJson, toJson } from './columns.ts';
import { oldestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, Row } from './schema.ts';

export type Link = {
  id: string;
  projectId: number;
  /** The action's. */
  eventId: string;
  tokenHash: string;
  tokenSealed: string;
  payload: Record<string, unknown>;
  expiresAt: number | null;
  maxUses: number | null;
  uses: number;
  createdAt: number;
};

function fromRow(row: Row<'links'>): Link {
  return {
    id: row.id,
    projectId: row.project_id,
    eventId: row.event_id,
    tokenHash: row.token_hash,
    tokenSealed: row.token_sealed,
    payload: fromJson(row.payload_json),
    expiresAt: row.expires_at,
    maxUses: row.max_uses,
    uses: row.uses,
    createdAt: row.created_at,
  };
}

function toRow(link: Link): Row<'links'> {
  return {
    id: link.id,
    project_id: link.projectId,
    event_id: link.eventId,
    token_hash: link.tokenHash,
    token_sealed: link.tokenSealed,
    payload_json: toJson(link.payload),
    expires_at: link.expiresAt,
    max_uses: link.maxUses,
    uses: link.uses,
    created_at: link.createdAt,
  };
}

export async function insertLink(db: Db, link: Link): Promise<void> {
  await db.insertInto('links').values(toRow(link)).execute();
}

export async function selectLink(db: Db, projectId: number, id: string): Promise<Link | undefined> {
  const row = await selectLinksOf(db, projectId).where('id', '=', id).executeTakeFirst();
  return row && fromRow(row);
}

export async function selectLinkByHash(db: Db, hash: string): Promise<Link | undefined> {
  const row = await db.selectFrom('links').selectAll().where('token_hash', '=', hash).executeTakeFirst();
  return row && fromRow(row);
}

export async function selectLinks(db: Db, projectId: number, page: PageQuery): Promise<Page<Link>> {
  return oldestFirst(selectLinksOf(db, projectId), page, fromRow);
}

function selectLinksOf(db: Db, projectId: number) {
  return db.selectFrom('links').selectAll().where('project_id', '=', projectId);
}

/** Counts one use; false when the link is gone, has ended or is used up, and then nothing has changed. */
export async function takeLinkUse(db: Db, id: string, now: number): Promise<boolean> {
  const result = await db
    .updateTable('links')
    .set((eb) => ({ uses: eb('uses', '+', 1) }))
    .where('id', '=', id)
    .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', now)]))
    .where((eb) => eb.or([eb('max_uses', 'is', null), eb('uses', '<', eb.ref('max_uses'))]))
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

export async function deleteLink(db: Db, id: string): Promise<void> {
  await db.deleteFrom('links').where('id', '=', id).execute();
}

export async function deleteActionLinks(db: Db, projectId: number, eventId: string): Promise<void> {
  await db.deleteFrom('links').where('project_id', '=', projectId).where('event_id', '=', eventId).execute();
}

export async function deleteProjectLinks(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('links').where('project_id', '=', projectId).execute();
}

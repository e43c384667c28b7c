/** The table `triggers`: the log of calls, with what came of each. */
import type { TriggerSource, TriggerStatus } from '../domain/trigger/call.ts';
import { fromJson, toJson } from './columns.ts';
import { chunksOf } from './dialect.ts';
import { newestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, Row } from './schema.ts';

/** A step that did not want the call, by its place from 1, and what in which condition refused. */
export type SkippedStep = { step: number; by: 'action.when' | 'step.when'; refused: string };

export type Trigger = {
  id: string;
  projectId: number;
  /** The action's. */
  eventId: string;
  actionId: string | null;
  source: TriggerSource;
  status: TriggerStatus;
  reason: string | null;
  keyId: string | null;
  linkId: string | null;
  address: string | null;
  userAgent: string | null;
  /** What was sent, as it is shown again. */
  call: { sensor_data: Record<string, unknown> | null; payload: unknown; query: Record<string, string> };
  warnings: readonly string[];
  skipped: readonly SkippedStep[];
  createdAt: number;
};

function fromRow(row: Row<'triggers'>): Trigger {
  return {
    id: row.id,
    projectId: row.project_id,
    eventId: row.event_id,
    actionId: row.action_id,
    source: row.source as TriggerSource,
    status: row.status as TriggerStatus,
    reason: row.reason,
    keyId: row.key_id,
    linkId: row.link_id,
    address: row.address,
    userAgent: row.user_agent,
    call: fromJson(row.call_json),
    warnings: fromJson<string[]>(row.warnings_json) ?? [],
    skipped: fromJson<SkippedStep[]>(row.skipped_json) ?? [],
    createdAt: row.created_at,
  };
}

function toRow(trigger: Trigger): Row<'triggers'> {
  return {
    id: trigger.id,
    project_id: trigger.projectId,
    event_id: trigger.eventId,
    action_id: trigger.actionId,
    source: trigger.source,
    status: trigger.status,
    reason: trigger.reason,
    key_id: trigger.keyId,
    link_id: trigger.linkId,
    address: trigger.address,
    user_agent: trigger.userAgent,
    call_json: toJson(trigger.call),
    // Few calls have any.
    warnings_json: trigger.warnings.length > 0 ? toJson(trigger.warnings) : null,
    skipped_json: trigger.skipped.length > 0 ? toJson(trigger.skipped) : null,
    created_at: trigger.createdAt,
  };
}

export async function insertTriggers(db: Db, triggers: readonly Trigger[]): Promise<void> {
  for (const chunk of chunksOf(db, triggers)) {
    await db.insertInto('triggers').values(chunk.map(toRow)).execute();
  }
}

export async function selectTrigger(db: Db, projectId: number, id: string): Promise<Trigger | undefined> {
  const row = await selectTriggersOf(db, projectId).where('id', '=', id).executeTakeFirst();
  return row && fromRow(row);
}

export type TriggerFilter = {
  eventId?: string | undefined;
  status?: TriggerStatus | undefined;
  keyId?: string | undefined;
};

/** Newest first. */
export async function selectTriggers(
  db: Db,
  projectId: number,
  filter: TriggerFilter,
  page: PageQuery,
): Promise<Page<Trigger>> {
  let query = selectTriggersOf(db, projectId);
  if (filter.eventId !== undefined) query = query.where('event_id', '=', filter.eventId);
  if (filter.status !== undefined) query = query.where('status', '=', filter.status);
  if (filter.keyId !== undefined) query = query.where('key_id', '=', filter.keyId);
  return newestFirst(query, page, fromRow);
}

function selectTriggersOf(db: Db, projectId: number) {
  return db.selectFrom('triggers').selectAll().where('project_id', '=', projectId);
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

/** The table `actions`: what an event_id of a trigger stands for. */
import type { Condition } from '../domain/condition.ts';
import type { Target } from '../domain/device/target.ts';
import { type Change, defined, fromFlag, fromJson, isEmpty, toFlag, toJson } from './columns.ts';
import { among } from './dialect.ts';
import { oldestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, Row } from './schema.ts';

export type Step = {
  function: string;
  params: Record<string, unknown>;
  target: Target;
  when?: Condition | undefined;
};

export type Action = {
  id: string;
  projectId: number;
  eventId: string;
  name: string;
  steps: Step[];
  when: Condition | null;
  allowGet: boolean;
  confirm: boolean;
  enabled: boolean;
  createdAt: number;
  updatedAt: number;
};

function fromRow(row: Row<'actions'>): Action {
  return {
    id: row.id,
    projectId: row.project_id,
    eventId: row.event_id,
    name: row.name,
    steps: fromJson(row.steps_json),
    when: fromJson(row.when_json),
    allowGet: fromFlag(row.allow_get),
    confirm: fromFlag(row.confirm),
    enabled: fromFlag(row.enabled),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function toRow(action: Action): Row<'actions'>;
function toRow(action: Change<Action>): Change<Row<'actions'>>;
function toRow(action: Change<Action>): Change<Row<'actions'>> {
  return {
    id: action.id,
    project_id: action.projectId,
    event_id: action.eventId,
    name: action.name,
    steps_json: toJson(action.steps),
    when_json: toJson(action.when),
    allow_get: toFlag(action.allowGet),
    confirm: toFlag(action.confirm),
    enabled: toFlag(action.enabled),
    created_at: action.createdAt,
    updated_at: action.updatedAt,
  };
}

export async function insertAction(db: Db, action: Action): Promise<void> {
  await db.insertInto('actions').values(toRow(action)).execute();
}

/** By the name that callers know it by. */
export async function selectAction(db: Db, projectId: number, eventId: string): Promise<Action | undefined> {
  const row = await selectActionsOf(db, projectId).where('event_id', '=', eventId).executeTakeFirst();
  return row && fromRow(row);
}

/** Those of the event_ids that are there. */
export async function selectActionsNamed(
  db: Db,
  projectId: number,
  eventIds: readonly string[],
): Promise<Set<string>> {
  if (eventIds.length === 0) return new Set();
  const rows = await db
    .selectFrom('actions')
    .select('event_id')
    .where('project_id', '=', projectId)
    .where('event_id', 'in', among(db, eventIds))
    .execute();
  return new Set(rows.map((row) => row.event_id));
}

export async function selectActions(db: Db, projectId: number, page: PageQuery): Promise<Page<Action>> {
  return oldestFirst(selectActionsOf(db, projectId), page, fromRow);
}

function selectActionsOf(db: Db, projectId: number) {
  return db.selectFrom('actions').selectAll().where('project_id', '=', projectId);
}

export async function updateAction(db: Db, id: string, change: Change<Action>): Promise<void> {
  if (isEmpty(change)) return;
  await db
    .updateTable('actions')
    .set(defined<Row<'actions'>>(toRow(change)))
    .where('id', '=', id)
    .execute();
}

export async function deleteAction(db: Db, id: string): Promise<void> {
  await db.deleteFrom('actions').where('id', '=', id).execute();
}

export async function deleteProjectActions(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('actions').where('project_id', '=', projectId).execute();
}

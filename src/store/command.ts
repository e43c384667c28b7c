/** The tables `commands` and `pulses`: what was issued, and where devices look for the pulses they have missed. */
import type { Slot } from '../domain/device/state.ts';
import type { Target } from '../domain/device/target.ts';
import { fromFlag, fromJson, toFlag, toJson } from './columns.ts';
import { among, chunksOf } from './dialect.ts';
import { newestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, NewRow, Row } from './schema.ts';

export type Command = {
  id: string;
  projectId: number;
  triggerId: string | null;
  /** `<action id>:<step>`, null for a command that no action issued. */
  source: string | null;
  function: string;
  /** What of the state it changes, null for a pulse. */
  slot: Slot | null;
  params: Record<string, unknown>;
  target: Target;
  issuedAt: number;
  /** A pulse always ends. */
  expiresAt: number | null;
  /** While a state command takes part in the fold; never for a pulse. */
  inForce: boolean;
  canceledAt: number | null;
};

function fromRow(row: Row<'commands'>): Command {
  return {
    id: row.id,
    projectId: row.project_id,
    triggerId: row.trigger_id,
    source: row.source,
    function: row.function,
    slot: row.slot as Slot | null,
    params: fromJson(row.params_json),
    target: fromJson(row.target_json),
    issuedAt: row.issued_at,
    expiresAt: row.expires_at,
    inForce: fromFlag(row.in_force),
    canceledAt: row.canceled_at,
  };
}

function toRow(command: Command): Row<'commands'> {
  return {
    id: command.id,
    project_id: command.projectId,
    trigger_id: command.triggerId,
    source: command.source,
    function: command.function,
    slot: command.slot,
    params_json: toJson(command.params),
    target_json: toJson(command.target),
    issued_at: command.issuedAt,
    expires_at: command.expiresAt,
    in_force: toFlag(command.inForce),
    canceled_at: command.canceledAt,
  };
}

function pulsesOf(
  { id, projectId, slot, target, expiresAt }: Command,
  scopesOf: (target: Target) => string[],
): NewRow<'pulses'>[] {
  if (slot !== null || expiresAt === null) return [];
  return scopesOf(target).map((scope) => ({
    project_id: projectId,
    scope,
    expires_at: expiresAt,
    command_id: id,
  }));
}

/** Stores commands, and files the pulses among them under the scopes of their targets. */
export async function insertCommands(
  db: Db,
  commands: readonly Command[],
  scopesOf: (target: Target) => string[],
): Promise<void> {
  for (const chunk of chunksOf(db, commands.map(toRow)))
    await db.insertInto('commands').values(chunk).execute();
  const pulses = commands.flatMap((command) => pulsesOf(command, scopesOf));
  for (const chunk of chunksOf(db, pulses)) await db.insertInto('pulses').values(chunk).execute();
}

export async function selectCommand(db: Db, projectId: number, id: string): Promise<Command | undefined> {
  const row = await selectCommandsOf(db, projectId).where('id', '=', id).executeTakeFirst();
  return row && fromRow(row);
}

/** Whom each of the commands is for, by command id. */
export async function selectTargets(
  db: Db,
  projectId: number,
  ids: readonly string[],
): Promise<Map<string, Target>> {
  if (ids.length === 0) return new Map();
  const rows = await db
    .selectFrom('commands')
    .select(['id', 'target_json'])
    .where('project_id', '=', projectId)
    .where('id', 'in', among(db, ids))
    .execute();
  return new Map(rows.map((row) => [row.id, fromJson<Target>(row.target_json)]));
}

/** Oldest first. */
export async function selectTriggerCommands(
  db: Db,
  projectId: number,
  triggerId: string,
): Promise<Command[]> {
  const rows = await selectCommandsOf(db, projectId)
    .where('trigger_id', '=', triggerId)
    .orderBy('id')
    .execute();
  return rows.map(fromRow);
}

/** Newest first. */
export async function selectCommands(
  db: Db,
  projectId: number,
  filter: { function?: string | undefined },
  page: PageQuery,
): Promise<Page<Command>> {
  let query = selectCommandsOf(db, projectId);
  if (filter.function !== undefined) query = query.where('function', '=', filter.function);
  return newestFirst(query, page, fromRow);
}

function selectCommandsOf(db: Db, projectId: number) {
  return db.selectFrom('commands').selectAll().where('project_id', '=', projectId);
}

/** The pulses of every project that have not ended. */
export async function selectUnexpiredPulses(db: Db, now: number): Promise<Command[]> {
  const rows = await db
    .selectFrom('commands')
    .selectAll()
    .where('id', 'in', db.selectFrom('pulses').select('command_id').where('expires_at', '>', now))
    .execute();
  return rows.map(fromRow);
}

/** The state commands of every project that take part in the fold, oldest first. */
export async function selectCommandsInForce(db: Db): Promise<Command[]> {
  const rows = await db.selectFrom('commands').selectAll().where('in_force', '=', 1).orderBy('id').execute();
  return rows.map(fromRow);
}

/** Takes state commands out of force. */
export async function updateOutOfForce(db: Db, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await db.updateTable('commands').set({ in_force: 0 }).where('id', 'in', among(db, ids)).execute();
}

/** Takes all of a project out of force; answers their ids. */
export async function updateProjectOutOfForce(db: Db, projectId: number): Promise<string[]> {
  const rows = await db
    .selectFrom('commands')
    .select('id')
    .where('in_force', '=', 1)
    .where('project_id', '=', projectId)
    .execute();
  const ids = rows.map((row) => row.id);
  await updateOutOfForce(db, ids);
  return ids;
}

/** Takes a command back, whatever it is; false when that was done before. */
export async function updateCanceled(db: Db, id: string, now: number): Promise<boolean> {
  const result = await db
    .updateTable('commands')
    .set({ canceled_at: now, in_force: 0 })
    .where('id', '=', id)
    .where('canceled_at', 'is', null)
    .executeTakeFirst();
  await db.deleteFrom('pulses').where('command_id', '=', id).execute();
  return result.numUpdatedRows > 0n;
}

/**
 * Pulses filed under `scopes` that have not ended and that the device has not finished, oldest first. Those of the
 * functions in `finalWhenReceived` are finished once the device has received them.
 */
export async function selectPendingPulses(
  db: Db,
  projectId: number,
  scopes: readonly string[],
  device: { id: number; finalWhenReceived: readonly string[] },
  now: number,
): Promise<Command[]> {
  const pending = await db
    .selectFrom('pulses')
    .select('command_id')
    .where('project_id', '=', projectId)
    .where('scope', 'in', scopes)
    .where('expires_at', '>', now)
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('receipts')
            .select('command_id')
            .whereRef('receipts.command_id', '=', 'pulses.command_id')
            .where('receipts.device_id', '=', device.id)
            .where('receipts.status', 'in', ['applied', 'failed']),
        ),
      ),
    )
    .execute();
  if (pending.length === 0) return [];
  const ids = [...new Set(pending.map((row) => row.command_id))].sort();
  const rows = await db
    .selectFrom('commands')
    .selectAll()
    .where('id', 'in', among(db, ids))
    .orderBy('id')
    .execute();
  const once = rows.flatMap((row) => (device.finalWhenReceived.includes(row.function) ? row.id : []));
  const received = await selectReceived(db, device.id, once);
  return rows.filter((row) => !received.has(row.id)).map(fromRow);
}

async function selectReceived(db: Db, deviceId: number, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await db
    .selectFrom('receipts')
    .select('command_id')
    .where('command_id', 'in', among(db, ids))
    .where('device_id', '=', deviceId)
    .where('status', '=', 'received')
    .execute();
  return new Set(rows.map((row) => row.command_id));
}

export async function deleteProjectPulses(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('pulses').where('project_id', '=', projectId).execute();
}

export async function deletePulsesBefore(db: Db, time: number): Promise<void> {
  await db.deleteFrom('pulses').where('expires_at', '<', time).execute();
}

/** Deletes up to `limit` commands that are not in force and whose id is below `id`. Answers their ids. */
export async function deleteCommandsBelow(db: Db, id: string, limit: number): Promise<string[]> {
  const old = await db
    .selectFrom('commands')
    .select('id')
    .where('in_force', '=', 0)
    .where('id', '<', id)
    .orderBy('id')
    .limit(limit)
    .execute();
  const ids = old.map((row) => row.id);
  if (ids.length > 0) await db.deleteFrom('commands').where('id', 'in', ids).execute();
  return ids;
}

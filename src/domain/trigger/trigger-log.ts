/**
 * The trigger log: every call of a good key stands in it, with what came of it, device by device, at any time.
 */
import { z } from 'zod';
import { fromJson, toJson } from '../../store/columns.ts';
import { selectTriggerCommands } from '../../store/command.ts';
import { findOwned } from '../../store/owned.ts';
import { pageQuery } from '../../store/page.ts';
import type { NewRow, Row } from '../../store/schema.ts';
import { listTriggers as listTriggerRows } from '../../store/trigger.ts';
import type { Caller } from '../access/caller.ts';
import { viewCommandWithCoverage } from '../command/command.ts';
import { coverageOfCommands, summarize } from '../command/coverage.ts';
import { issue } from '../command/issue.ts';
import type { Context } from '../context.ts';
import { describeFault, Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { instant, pageSchema, parseInput } from '../input.ts';
import type { ReadyAction } from './action.ts';
import type { TriggerCaller, TriggerRequest, TriggerSource } from './call.ts';

const reasonMax = 500;
const userAgentMax = 200;
/** One line of the trigger log. */
export function triggerRow(
  caller: TriggerCaller,
  request: Pick<TriggerRequest, 'call' | 'source'>,
  of: {
    id: string;
    action: ReadyAction | null;
    status: 'fired' | 'seen' | 'refused';
    reason: string | null;
    now: number;
  },
): NewRow<'triggers'> {
  const { call, source } = request;
  return {
    id: of.id,
    project_id: caller.projectId,
    event_id: call.eventId,
    action_id: of.action?.id ?? null,
    source,
    status: of.status,
    reason: of.reason?.slice(0, reasonMax) ?? null,
    key_id: caller.keyId,
    link_id: caller.linkId,
    address: caller.address,
    user_agent: caller.userAgent?.slice(0, userAgentMax) ?? null,
    call_json: toJson({ sensor_data: call.sensorData, payload: call.payload, query: call.query }),
    created_at: of.now,
  };
}

/** Writes down a call that must not fire: a prefetch, a link preview. */
export async function recordSeen(
  ctx: Context,
  caller: TriggerCaller,
  request: Pick<TriggerRequest, 'call' | 'source'>,
  reason: string,
): Promise<void> {
  const row = triggerRow(caller, request, {
    id: newId(ctx.now()),
    action: null,
    status: 'seen',
    reason,
    now: ctx.now(),
  });
  await issue(ctx, { trigger: row, commands: [] });
}

/** Somebody with a good key tried in vain: the trigger log says why. A log that can't be written changes no answer. */
export async function recordRefusal(
  ctx: Context,
  caller: TriggerCaller,
  request: TriggerRequest,
  error: unknown,
): Promise<void> {
  const { projectId } = caller;
  const { code, detail } = describeFault(error);
  ctx.feed.publish({ kind: 'trigger-refused', projectId, actionEventId: request.call.eventId, code });
  if (code === 'unavailable') return;
  const reason = `${code}: ${detail}`;
  const row = triggerRow(caller, request, {
    id: newId(ctx.now()),
    action: null,
    status: 'refused',
    reason,
    now: ctx.now(),
  });
  await issue(ctx, { trigger: row, commands: [] }).catch(() => undefined);
}

function viewTrigger(row: Row<'triggers'>) {
  return {
    id: row.id,
    event_id: row.event_id,
    source: row.source as TriggerSource,
    status: row.status as 'fired' | 'seen' | 'refused',
    reason: row.reason,
    key_id: row.key_id,
    link_id: row.link_id,
    address: row.address,
    user_agent: row.user_agent,
    created_at: instant(row.created_at),
  };
}

const filterSchema = pageSchema.extend({
  event_id: z.string().optional(),
  status: z.enum(['fired', 'seen', 'refused']).optional(),
});

/** A key that may only fire sees what it fired itself. */
function ownKey(caller: Caller): string | undefined {
  return caller.scopes.has('read') ? undefined : (caller.id ?? 'nobody');
}

/** Newest first. */
export async function listTriggers(ctx: Context, caller: Caller, input: unknown) {
  const filter = parseInput(filterSchema, input);
  const query = { ...filter, key_id: ownKey(caller) };
  const page = await listTriggerRows(ctx.db, caller.projectId, query, pageQuery(filter));
  return { ...page, items: page.items.map(viewTrigger) };
}

/** The whole trace: the call, every command, the counts, every device. */
export async function getTrigger(ctx: Context, caller: Caller, id: string) {
  const row = await findOwned(ctx.db, 'triggers', caller.projectId, id);
  const own = ownKey(caller);
  if (!row || (own !== undefined && row.key_id !== own))
    throw new Fault('not_found', 'there is no such trigger');
  const commands = await selectTriggerCommands(ctx.db, caller.projectId, id);
  const coverages = await coverageOfCommands(ctx, commands);
  return {
    ...viewTrigger(row),
    call: fromJson<Record<string, unknown>>(row.call_json),
    coverage: commands.length === 0 ? null : summarize([...coverages.values()], 100),
    commands: commands.map((command) => viewCommandWithCoverage(ctx, command, coverages.get(command.id))),
  };
}

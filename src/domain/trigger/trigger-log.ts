/**
 * The trigger log: every call of a good key stands in it, with what came of it, device by device, at any time.
 */
import { z } from 'zod';
import { selectTriggerCommands } from '../../store/command.ts';
import { pageQuery } from '../../store/page.ts';
import { type SkippedStep, selectTrigger, selectTriggers, type Trigger } from '../../store/trigger.ts';
import type { Caller } from '../access/caller.ts';
import { viewCommandWithCoverage } from '../command/command.ts';
import { coverageOfCommands, summarize } from '../command/coverage.ts';
import { issue } from '../command/issue.ts';
import type { Context } from '../context.ts';
import { describeFault, Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { instant, pageSchema, parseInput } from '../input.ts';
import type { ReadyAction } from './action.ts';
import {
  eventIdOf,
  type TriggerCaller,
  type TriggerRequest,
  type TriggerSource,
  type TriggerStatus,
  triggerStatuses,
} from './call.ts';

const reasonMax = 500;
const userAgentMax = 200;

type LoggedRequest = Pick<TriggerRequest, 'call' | 'loggedPayload' | 'source'>;

/** One line of the trigger log. */
export function newTrigger(
  caller: TriggerCaller,
  { call, loggedPayload = call.payload, source }: LoggedRequest,
  of: {
    id: string;
    action: ReadyAction | null;
    status: TriggerStatus;
    reason: string | null;
    warnings?: readonly string[];
    skipped?: readonly SkippedStep[];
    now: number;
  },
): Trigger {
  return {
    id: of.id,
    projectId: caller.projectId,
    eventId: call.eventId,
    actionId: of.action?.id ?? null,
    source,
    status: of.status,
    reason: of.reason?.slice(0, reasonMax) ?? null,
    keyId: caller.keyId,
    linkId: caller.linkId,
    address: caller.address,
    userAgent: caller.userAgent?.slice(0, userAgentMax) ?? null,
    call: { sensor_data: call.sensorData, payload: loggedPayload, query: call.query },
    warnings: of.warnings ?? [],
    skipped: of.skipped ?? [],
    createdAt: of.now,
  };
}

/** Writes down a call that must not fire: a prefetch, a link preview. */
export async function recordSeen(
  ctx: Context,
  caller: TriggerCaller,
  request: LoggedRequest,
  reason: string,
): Promise<void> {
  const trigger = newTrigger(caller, request, {
    id: newId(ctx.now()),
    action: null,
    status: 'seen',
    reason,
    now: ctx.now(),
  });
  await issue(ctx, { trigger, commands: [] });
}

/** Somebody with a good key tried in vain: the trigger log says why. A log that can't be written changes no answer. */
export async function recordRefusal(
  ctx: Context,
  caller: TriggerCaller,
  request: LoggedRequest,
  error: unknown,
): Promise<void> {
  const { code, detail } = describeFault(error);
  tellRefusal(ctx, caller, request.call.eventId, error);
  if (code === 'unavailable') return;
  const reason = `${code}: ${detail}`;
  const trigger = newTrigger(caller, request, {
    id: newId(ctx.now()),
    action: null,
    status: 'refused',
    reason,
    now: ctx.now(),
  });
  await issue(ctx, { trigger, commands: [] }).catch(() => undefined);
}

function tellRefusal(
  ctx: Pick<Context, 'feed'>,
  { projectId }: TriggerCaller,
  actionEventId: string,
  error: unknown,
): void {
  const { code } = describeFault(error);
  ctx.feed.publish({ kind: 'trigger-refused', projectId, actionEventId, code });
}

const unreadEveryMs = 1_000;
const callersMax = 10_000;

/** Writes down a call that could not be read: `event` is the one it names, as far as that can be told. */
export type UnreadLog = (
  caller: TriggerCaller,
  call: { event: unknown; source: TriggerSource },
  error: unknown,
) => Promise<void>;

/** One a second for each key stands in the trigger log, since who sends one wrongly sends them all so; each is told. */
export function createUnreadLog(ctx: Context): UnreadLog {
  const written = new Map<string | null, number>();
  return async (caller, { event, source }, error) => {
    const eventId = eventIdOf(event);
    const now = ctx.now();
    const last = written.get(caller.keyId);
    if (last !== undefined && Math.abs(now - last) < unreadEveryMs)
      return tellRefusal(ctx, caller, eventId, error);
    if (written.size >= callersMax) written.clear();
    written.set(caller.keyId, now);
    const call = { eventId, sensorData: null, payload: null, query: {} };
    await recordRefusal(ctx, caller, { call, source }, error);
  };
}

function viewTrigger(trigger: Trigger) {
  return {
    id: trigger.id,
    event_id: trigger.eventId,
    source: trigger.source,
    status: trigger.status,
    reason: trigger.reason,
    key_id: trigger.keyId,
    link_id: trigger.linkId,
    address: trigger.address,
    user_agent: trigger.userAgent,
    ...(trigger.warnings.length > 0 ? { warnings: trigger.warnings } : {}),
    created_at: instant(trigger.createdAt),
  };
}

const filterSchema = pageSchema.extend({
  event_id: z.string().optional(),
  status: z.enum(triggerStatuses).optional(),
});

/** A key that may only fire sees what it fired itself. */
function ownKey(caller: Caller): string | undefined {
  return caller.scopes.has('read') ? undefined : (caller.id ?? 'nobody');
}

/** Newest first. */
export async function listTriggers(ctx: Pick<Context, 'db'>, caller: Caller, input: unknown) {
  const { event_id, status, ...paging } = parseInput(filterSchema, input);
  const filter = { eventId: event_id, status, keyId: ownKey(caller) };
  const page = await selectTriggers(ctx.db, caller.projectId, filter, pageQuery(paging));
  return { ...page, items: page.items.map(viewTrigger) };
}

/** The whole trace: the call, every command, the counts, every device. */
export async function getTrigger(ctx: Context, caller: Caller, id: string) {
  const trigger = await selectTrigger(ctx.db, caller.projectId, id);
  const own = ownKey(caller);
  if (!trigger || (own !== undefined && trigger.keyId !== own))
    throw new Fault('not_found', 'there is no such trigger');
  const commands = await selectTriggerCommands(ctx.db, caller.projectId, id);
  const coverages = await coverageOfCommands(ctx, commands);
  return {
    ...viewTrigger(trigger),
    call: trigger.call,
    ...(trigger.skipped.length > 0 ? { skipped: trigger.skipped } : {}),
    coverage: commands.length === 0 ? null : summarize([...coverages.values()], 100),
    commands: commands.map((command) => viewCommandWithCoverage(ctx, command, coverages.get(command.id))),
  };
}

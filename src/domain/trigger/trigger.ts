/** A trigger is one accepted call: it finds the action and issues a command for each step. */

import { selectTriggerCommands } from '../../store/command.ts';
import { selectTargeted } from '../../store/target.ts';
import type { SkippedStep } from '../../store/trigger.ts';
import { countOf, viewIssued } from '../command/command.ts';
import { type Coverage, coverageOfCommands, waitForCoverage } from '../command/coverage.ts';
import { findFirstAnswer, issue } from '../command/issue.ts';
import { newCommand } from '../command/new-command.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { findReadyAction, type ReadyAction } from './action.ts';
import type { Call, TriggerCaller, TriggerRequest } from './call.ts';
import { planCall, wantedSteps } from './plan.ts';
import { newTrigger, recordRefusal, recordSeen } from './trigger-log.ts';

const devicesInDryRunMax = 1_000;

export type TriggerAnswer = {
  message: 'success';
  trigger_id: string | null;
  event_id: string;
  dry_run?: true;
  commands: {
    id: string | null;
    function: string;
    targeted: number;
    online: number;
    devices?: { id: number; name: string; online: boolean }[];
  }[];
  /** What was left out, cut or found empty; only there when there is something to say. */
  warnings?: string[];
  /** Of a dry run, the steps that do not want the call. */
  skipped?: SkippedStep[];
  coverage?: Coverage;
};

/** `replayed` is true when this is the first answer to the same call again. */
export type Fired = { answer: TriggerAnswer; replayed: boolean };

/**
 * Fires the action that the call names. Resolves once the trigger and its commands are on disk; with a wait, once
 * the quorum has applied them or time is up. Throws `not_allowed`, `unknown_event`, `bad_params`,
 * `idempotency_conflict`, `link_ended` or `unavailable`, and then nothing was issued.
 */
export async function fireTrigger(
  ctx: Context,
  caller: TriggerCaller,
  request: TriggerRequest,
): Promise<Fired> {
  const { idempotency } = request;
  try {
    const once = idempotency && !request.dryRun ? { ...idempotency, caller: callerLabel(caller) } : null;
    const first = once ? await findFirstAnswer(ctx, ctx.db, once) : undefined;
    if (first instanceof Fault) throw first;
    const fired =
      first === undefined
        ? await fireOrTry(ctx, caller, request, once)
        : { answer: first as TriggerAnswer, replayed: true };
    if (request.waitMs > 0 && !request.dryRun)
      fired.answer = {
        ...fired.answer,
        coverage: await waitForTrigger(ctx, caller.projectId, fired.answer.trigger_id ?? '', {
          ...request,
          signal: request.signalOf(),
        }),
      };
    return fired;
  } catch (error) {
    if (error instanceof Fault) await recordRefusal(ctx, caller, request, error);
    throw error;
  }
}

/** What to do with a GET: whoever opens a link in a browser may not know what it does. */
export type Opened = { fire: true } | { seen: string; action: ReadyAction } | { ask: ReadyAction };

/**
 * Decides about a GET. `notMeant` is the reason why nobody meant to fire, null when somebody did. Throws
 * `method_not_allowed` for an action that is fired by POST alone, and what `fireTrigger` throws.
 */
export async function openTrigger(
  ctx: Context,
  caller: TriggerCaller,
  request: TriggerRequest,
  notMeant: string | null,
): Promise<Opened> {
  try {
    const action = await requireReadyAction(ctx, caller, request.call.eventId);
    if (notMeant !== null) {
      await recordSeen(ctx, caller, request, notMeant);
      return { seen: notMeant, action };
    }
    if (!action.allowGet) throw new Fault('method_not_allowed', 'this action is fired by POST alone');
    return action.confirm && !request.dryRun ? { ask: action } : { fire: true };
  } catch (error) {
    if (error instanceof Fault) await recordRefusal(ctx, caller, request, error);
    throw error;
  }
}

/** The action behind an event_id for this caller; throws `not_allowed` or `unknown_event`. */
export async function requireReadyAction(
  ctx: Pick<Context, 'db' | 'cache'>,
  caller: { projectId: number; eventIds: ReadonlySet<string> | null },
  eventId: string,
): Promise<ReadyAction> {
  if (caller.eventIds && !caller.eventIds.has(eventId)) {
    throw new Fault('not_allowed', 'this key is not for this event_id');
  }
  const action = await findReadyAction(ctx, caller.projectId, eventId);
  if (!action) throw new Fault('unknown_event', `no action has the event_id "${eventId}"`);
  if (!action.enabled) throw new Fault('unknown_event', `the action "${eventId}" is switched off`);
  return action;
}

function callerLabel(caller: TriggerCaller): string {
  return caller.linkId === null ? `key ${caller.keyId}` : `link ${caller.linkId}`;
}

type Once = { caller: string; key: string; callHash: string } | null;

async function fireOrTry(
  ctx: Context,
  caller: TriggerCaller,
  request: TriggerRequest,
  once: Once,
): Promise<Fired> {
  const action = await requireReadyAction(ctx, caller, request.call.eventId);
  if (request.dryRun) return { answer: await dryRun(ctx, action, request.call), replayed: false };
  return fireNow(ctx, caller, request, action, once);
}

async function fireNow(
  ctx: Context,
  caller: TriggerCaller,
  request: TriggerRequest,
  action: ReadyAction,
  once: Once,
): Promise<Fired> {
  const { call } = request;
  const now = ctx.now();
  const triggerId = newId(ctx.now());
  const { steps, skipped, warnings } = planCall(action, call, triggerId, now);
  const commands = steps.map(({ place, step, params }) =>
    newCommand(
      {
        projectId: action.projectId,
        triggerId,
        source: `${action.id}:${place}`,
        function: step.function,
        params,
        target: step.target,
      },
      now,
    ),
  );
  const answer: TriggerAnswer = {
    message: 'success',
    trigger_id: triggerId,
    event_id: action.eventId,
    commands: await Promise.all(commands.map((command) => viewIssued(ctx, command))),
    ...(warnings.length > 0 ? { warnings } : {}),
  };
  const isWanted = commands.length > 0;
  const trigger = newTrigger(caller, request, {
    id: triggerId,
    action,
    status: isWanted ? 'fired' : 'seen',
    reason: isWanted ? null : (warnings[0] ?? null),
    warnings,
    skipped,
    now,
  });
  const { replay } = await issue(ctx, {
    trigger,
    commands,
    linkId: caller.linkId ?? undefined,
    idempotency: once ? { ...once, triggerId, answer } : undefined,
  });
  if (replay !== undefined) return { answer: replay as TriggerAnswer, replayed: true };
  if (isWanted)
    ctx.feed.publish({
      kind: 'trigger',
      projectId: action.projectId,
      triggerId,
      actionEventId: action.eventId,
      source: request.source,
      commands: commands.length,
    });
  return { answer, replayed: false };
}

/** What firing the action with this call would reach, for a page that asks first. */
export async function previewAction(ctx: Context, action: ReadyAction, call: Call) {
  const { steps, warnings } = wantedSteps(action, call);
  const commands = await Promise.all(
    steps.map(async ({ step }) => ({
      function: step.function,
      targeted: await countOf(ctx, action.projectId, step.target),
      online: ctx.live.presence.countOnline(action.projectId, step.target),
    })),
  );
  return {
    event_id: action.eventId,
    name: action.name,
    commands,
    ...(warnings.length > 0 ? { warnings } : {}),
  };
}

async function dryRun(ctx: Context, action: ReadyAction, call: Call): Promise<TriggerAnswer> {
  const { projectId } = action;
  const now = ctx.now();
  const { steps, skipped, warnings } = planCall(action, call, newId(now), now);
  const commands: TriggerAnswer['commands'] = [];
  for (const { step } of steps) {
    const devices = await selectTargeted(ctx.db, projectId, step.target, devicesInDryRunMax);
    commands.push({
      id: null,
      function: step.function,
      targeted: await countOf(ctx, projectId, step.target),
      online: ctx.live.presence.countOnline(projectId, step.target),
      devices: devices.map((device) => ({ ...device, online: ctx.live.presence.isOnline(device.id) })),
    });
  }
  return {
    message: 'success',
    trigger_id: null,
    event_id: action.eventId,
    dry_run: true,
    commands,
    ...(warnings.length > 0 ? { warnings } : {}),
    ...(skipped.length > 0 ? { skipped } : {}),
  };
}

/** Waits for the devices of a trigger; see `waitForCoverage`. */
export async function waitForTrigger(
  ctx: Context,
  projectId: number,
  triggerId: string,
  options: { waitMs: number; quorum: number; signal: AbortSignal },
): Promise<Coverage> {
  const read = () => selectTriggerCommands(ctx.db, projectId, triggerId);
  const ids = new Set((await read()).map((command) => command.id));
  const coverages = async () => [...(await coverageOfCommands(ctx, await read())).values()];
  return waitForCoverage(ctx, coverages, ids, options);
}

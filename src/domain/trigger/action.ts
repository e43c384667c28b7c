/** An action is what a trigger's `event_id` stands for: one or more steps, each a function, its params, a target. */

import { z } from 'zod';
import {
  type Action,
  deleteAction,
  insertAction,
  type Step,
  selectAction,
  selectActions,
  updateAction,
} from '../../store/action.ts';
import { deleteActionLinks } from '../../store/link.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db } from '../../store/schema.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import { parseStepParams, requireUrls, type StepParams } from '../command/params.ts';
import { type Condition, comparisonsOf, conditionSchema } from '../condition.ts';
import type { Context } from '../context.ts';
import { requireTarget } from '../device/device.ts';
import { type Target, targetSchema } from '../device/target.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import {
  eventIdSchema,
  instant,
  membersSchema,
  nameSchema,
  pageSchema,
  parseInput,
  placeOf,
} from '../input.ts';
import { parsePath } from '../path.ts';

const stepsMax = 50;
const paramsCharactersMax = 32_768;
/** In the conditions of an action and its steps together: they are looked at in every call. */
const comparisonsMax = 1_000;

const conditionRoots = ['payload', 'sensor_data', 'query'];

/** A condition on the call. Its scope is an object: a payload that is a list is looked into by place. */
const whenSchema = conditionSchema.superRefine((when, ctx) => {
  const stray = comparisonsOf(when).find(
    ({ path }) => !conditionRoots.includes(String(parsePath(path)?.[0])),
  );
  if (stray)
    ctx.addIssue(`has the path "${stray.path}", which begins with none of ${conditionRoots.join(', ')}`);
});

const stepSchema = z.strictObject({
  function: z.string(),
  params: membersSchema
    .default({})
    .refine(
      (params) => JSON.stringify(params).length <= paramsCharactersMax,
      `at most ${paramsCharactersMax} characters`,
    ),
  target: targetSchema,
  when: whenSchema.nullish().transform((when) => when ?? undefined),
});
const actionSchema = z.strictObject({
  event_id: eventIdSchema,
  name: nameSchema.optional(),
  steps: z.array(stepSchema).min(1).max(stepsMax),
  when: whenSchema.nullish(),
  allow_get: z.boolean().default(true),
  confirm: z.boolean().default(false),
  enabled: z.boolean().default(true),
});
/** The event_id is what callers and links know an action by: it stays. */
const actionChangeSchema = z.strictObject({
  name: nameSchema.optional(),
  steps: actionSchema.shape.steps.optional(),
  when: actionSchema.shape.when,
  allow_get: z.boolean().optional(),
  confirm: z.boolean().optional(),
  enabled: z.boolean().optional(),
});

export type ReadyStep = {
  function: string;
  params: StepParams;
  target: Target;
  when?: Condition | undefined;
};
/** An action ready to be fired: the templates of its steps are parsed. */
export type ReadyAction = {
  id: string;
  projectId: number;
  eventId: string;
  name: string;
  steps: readonly ReadyStep[];
  when: Condition | null;
  allowGet: boolean;
  confirm: boolean;
  enabled: boolean;
};

function viewAction(action: Action) {
  return {
    id: action.id,
    event_id: action.eventId,
    name: action.name,
    steps: action.steps,
    when: action.when,
    allow_get: action.allowGet,
    confirm: action.confirm,
    enabled: action.enabled,
    created_at: instant(action.createdAt),
    updated_at: instant(action.updatedAt),
  };
}

/** Throws for more comparisons than a call may cost. */
function requireFewComparisons({ steps, when }: Pick<Action, 'steps' | 'when'>): void {
  const conditions = [when, ...steps.map((step) => step.when)].filter((each) => each != null);
  const comparisons = conditions.flatMap(comparisonsOf).length;
  if (comparisons > comparisonsMax) {
    const detail = `the conditions have ${comparisons} comparisons together, ${comparisonsMax} is the most`;
    throw new Fault('bad_request', detail);
  }
}

/** Throws for a function, param, template or target that can't work, naming the step. */
async function requireSteps(db: Db, caller: Caller, steps: readonly Step[]): Promise<void> {
  for (const [place, step] of steps.entries()) {
    try {
      parseStepParams(step.function, step.params);
      requireUrls(step.function, step.params);
      await requireTarget(db, caller.projectId, step.target);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      throw new Fault(error.code, `step ${place + 1}: ${error.message}`, {
        problems: error.problems.map(({ path, detail }) => ({
          path: placeOf(['steps', place, path]),
          detail,
        })),
      });
    }
  }
}

export async function createAction(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(actionSchema, input);
  const now = ctx.now();
  const action: Action = {
    id: newId(ctx.now()),
    projectId: caller.projectId,
    eventId: given.event_id,
    name: given.name ?? given.event_id,
    steps: given.steps,
    when: given.when ?? null,
    allowGet: given.allow_get,
    confirm: given.confirm,
    enabled: given.enabled,
    createdAt: now,
    updatedAt: now,
  };
  await makeChange(ctx, caller, async (tx, note) => {
    requireFewComparisons(action);
    await requireSteps(tx, caller, action.steps);
    await insertAction(tx, action);
    await note(
      'action.create',
      { kind: 'action', id: action.eventId },
      { steps: action.steps.map((step) => step.function) },
    );
  });
  return viewAction(action);
}

export async function listActions(ctx: Pick<Context, 'db'>, caller: Caller, input: unknown) {
  const page = await selectActions(ctx.db, caller.projectId, pageQuery(parseInput(pageSchema, input)));
  return { ...page, items: page.items.map(viewAction) };
}

export async function getAction(ctx: Pick<Context, 'db'>, caller: Caller, eventId: string) {
  return viewAction(await requireAction(ctx.db, caller, eventId));
}

export async function changeAction(ctx: Context, caller: Caller, eventId: string, input: unknown) {
  const given = parseInput(actionChangeSchema, input);
  await makeChange(ctx, caller, async (tx, note) => {
    const action = await requireAction(tx, caller, eventId);
    const { steps = action.steps, when = action.when } = given;
    requireFewComparisons({ steps, when });
    if (given.steps) await requireSteps(tx, caller, given.steps);
    await updateAction(tx, action.id, {
      name: given.name,
      steps: given.steps,
      when: given.when,
      allowGet: given.allow_get,
      confirm: given.confirm,
      enabled: given.enabled,
      updatedAt: ctx.now(),
    });
    await note('action.change', { kind: 'action', id: eventId }, { changed: Object.keys(given) });
  });
  return getAction(ctx, caller, eventId);
}

/** Deletes the action and the links that fire it. What it has set going goes on. */
export async function removeAction(ctx: Context, caller: Caller, eventId: string): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    const action = await requireAction(tx, caller, eventId);
    await deleteActionLinks(tx, caller.projectId, eventId);
    await deleteAction(tx, action.id);
    await note('action.delete', { kind: 'action', id: eventId });
  });
}

async function requireAction(db: Db, caller: Caller, eventId: string): Promise<Action> {
  const action = await selectAction(db, caller.projectId, eventId);
  if (!action) throw new Fault('not_found', `there is no action "${eventId}"`);
  return action;
}

/** The action behind an event_id, from the cache where it can be; null when there is none. */
export async function findReadyAction(
  ctx: Pick<Context, 'db' | 'cache'>,
  projectId: number,
  eventId: string,
): Promise<ReadyAction | null> {
  return ctx.cache.get(`action ${projectId} ${eventId}`, async () => {
    const action = await selectAction(ctx.db, projectId, eventId);
    return action ? readyAction(action) : null;
  });
}

function readyAction(action: Action): ReadyAction {
  return {
    id: action.id,
    projectId: action.projectId,
    eventId: action.eventId,
    name: action.name,
    steps: action.steps.map((step) => ({ ...step, params: parseStepParams(step.function, step.params) })),
    when: action.when,
    allowGet: action.allowGet,
    confirm: action.confirm,
    enabled: action.enabled,
  };
}

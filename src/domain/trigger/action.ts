/** An action is what a trigger's `event_id` stands for: one or more steps, each a function, its params, a target. */

import { z } from 'zod';
import {
  deleteAction as deleteActionRow,
  findAction,
  insertAction,
  updateAction,
} from '../../store/action.ts';
import { fromJson, toJson } from '../../store/columns.ts';
import { deleteActionLinks } from '../../store/link.ts';
import { listOwned } from '../../store/owned.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db, Row } from '../../store/schema.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import { parseStepParams, type StepParams } from '../command/function-catalogue.ts';
import type { Context } from '../context.ts';
import { requireTarget } from '../device/device.ts';
import { type Target, targetSchema } from '../device/target.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { eventIdSchema, instant, nameSchema, pageSchema, parseInput, placeOf } from '../input.ts';

const stepsMax = 50;
const paramsCharactersMax = 32_768;

const stepSchema = z.strictObject({
  function: z.string(),
  params: z
    .record(z.string(), z.json())
    .default({})
    .refine(
      (params) => JSON.stringify(params).length <= paramsCharactersMax,
      `at most ${paramsCharactersMax} characters`,
    ),
  target: targetSchema,
});
const actionSchema = z.strictObject({
  event_id: eventIdSchema,
  name: nameSchema.optional(),
  steps: z.array(stepSchema).min(1).max(stepsMax),
  allow_get: z.boolean().default(true),
  confirm: z.boolean().default(false),
  enabled: z.boolean().default(true),
});
/** The event_id is what callers and links know an action by: it stays. */
const actionChangeSchema = z.strictObject({
  name: nameSchema.optional(),
  steps: actionSchema.shape.steps.optional(),
  allow_get: z.boolean().optional(),
  confirm: z.boolean().optional(),
  enabled: z.boolean().optional(),
});

export type Step = { function: string; params: Record<string, unknown>; target: Target };

/** An action ready to be fired: the templates of its steps are parsed. */
export type ReadyAction = {
  id: string;
  projectId: number;
  eventId: string;
  name: string;
  steps: readonly { function: string; params: StepParams; target: Target }[];
  allowGet: boolean;
  confirm: boolean;
  enabled: boolean;
};

function viewAction(row: Row<'actions'>) {
  return {
    id: row.id,
    event_id: row.event_id,
    name: row.name,
    steps: fromJson<Step[]>(row.steps_json),
    allow_get: row.allow_get === 1,
    confirm: row.confirm === 1,
    enabled: row.enabled === 1,
    created_at: instant(row.created_at),
    updated_at: instant(row.updated_at),
  };
}

/** Throws for a function, param, template or target that can't work, naming the step. */
async function requireSteps(db: Db, caller: Caller, steps: readonly Step[]): Promise<void> {
  for (const [place, step] of steps.entries()) {
    try {
      parseStepParams(step.function, step.params);
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
  const row: Row<'actions'> = {
    id: newId(ctx.now()),
    project_id: caller.projectId,
    event_id: given.event_id,
    name: given.name ?? given.event_id,
    steps_json: toJson(given.steps),
    allow_get: given.allow_get ? 1 : 0,
    confirm: given.confirm ? 1 : 0,
    enabled: given.enabled ? 1 : 0,
    created_at: now,
    updated_at: now,
  };
  await makeChange(ctx, caller, async (tx, note) => {
    await requireSteps(tx, caller, given.steps);
    await insertAction(tx, row);
    await note(
      'action.create',
      { kind: 'action', id: row.event_id },
      { steps: given.steps.map((step) => step.function) },
    );
  });
  return viewAction(row);
}

export async function listActions(ctx: Context, caller: Caller, input: unknown) {
  const page = await listOwned(ctx.db, 'actions', caller.projectId, pageQuery(parseInput(pageSchema, input)));
  return { ...page, items: page.items.map(viewAction) };
}

export async function getAction(ctx: Context, caller: Caller, eventId: string) {
  return viewAction(await requireAction(ctx.db, caller, eventId));
}

export async function changeAction(ctx: Context, caller: Caller, eventId: string, input: unknown) {
  const given = parseInput(actionChangeSchema, input);
  await makeChange(ctx, caller, async (tx, note) => {
    const row = await requireAction(tx, caller, eventId);
    const change: Partial<Row<'actions'>> = { updated_at: ctx.now() };
    if (given.name !== undefined) change.name = given.name;
    if (given.steps !== undefined) {
      await requireSteps(tx, caller, given.steps);
      change.steps_json = toJson(given.steps);
    }
    if (given.allow_get !== undefined) change.allow_get = given.allow_get ? 1 : 0;
    if (given.confirm !== undefined) change.confirm = given.confirm ? 1 : 0;
    if (given.enabled !== undefined) change.enabled = given.enabled ? 1 : 0;
    await updateAction(tx, row.id, change);
    await note('action.change', { kind: 'action', id: eventId }, { changed: Object.keys(given) });
  });
  return getAction(ctx, caller, eventId);
}

/** Deletes the action and the links that fire it. What it has set going goes on. */
export async function deleteAction(ctx: Context, caller: Caller, eventId: string): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    const row = await requireAction(tx, caller, eventId);
    await deleteActionLinks(tx, caller.projectId, eventId);
    await deleteActionRow(tx, row.id);
    await note('action.delete', { kind: 'action', id: eventId });
  });
}

async function requireAction(db: Db, caller: Caller, eventId: string): Promise<Row<'actions'>> {
  const row = await findAction(db, caller.projectId, eventId);
  if (!row) throw new Fault('not_found', `there is no action "${eventId}"`);
  return row;
}

/** The action behind an event_id, from the cache where it can be; null when there is none. */
export async function findReadyAction(
  ctx: Context,
  projectId: number,
  eventId: string,
): Promise<ReadyAction | null> {
  return ctx.cache.get(`action ${projectId} ${eventId}`, async () => {
    const row = await findAction(ctx.db, projectId, eventId);
    return row ? readyAction(row) : null;
  });
}

function readyAction(row: Row<'actions'>): ReadyAction {
  return {
    id: row.id,
    projectId: row.project_id,
    eventId: row.event_id,
    name: row.name,
    steps: fromJson<Step[]>(row.steps_json).map((step) => ({
      ...step,
      params: parseStepParams(step.function, step.params),
    })),
    allowGet: row.allow_get === 1,
    confirm: row.confirm === 1,
    enabled: row.enabled === 1,
  };
}

/**
 * A command is one function for one target, issued once, with an end. Most come from triggers; a key with the
 * scope `command` may issue one directly, and any that has not ended can be canceled.
 */

import { z } from 'zod';
import { fromJson, toJson } from '../../store/columns.ts';
import { cancelCommand as cancelCommandRow, listCommands as listCommandRows } from '../../store/command.ts';
import { countTargeted } from '../../store/device.ts';
import { findOwned } from '../../store/owned.ts';
import { pageQuery } from '../../store/page.ts';
import { listReceipts as listReceiptRows } from '../../store/receipt.ts';
import type { Row } from '../../store/schema.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { requireTarget } from '../device/device.ts';
import type { Slot } from '../device/state.ts';
import { type Target, targetSchema } from '../device/target.ts';
import { Fault } from '../fault.ts';
import { cursorOf, instant, pageSchema, parseInput } from '../input.ts';
import { type CommandCoverage, coverageOfCommands, hasEnded } from './coverage.ts';
import { fillParams, parseStepParams } from './function-catalogue.ts';
import { issue } from './issue.ts';
import { type NewCommand, newCommand } from './new-command.ts';
import { commandInForceOf, sendEnds } from './send.ts';

const commandSchema = z.strictObject({
  function: z.string(),
  params: z.record(z.string(), z.json()).default({}),
  target: targetSchema,
});

/** How many devices a target matches: counted once a second at most, however many triggers ask. */
export async function countOf(ctx: Context, projectId: number, target: Target): Promise<number> {
  return ctx.cache.get(`count ${projectId} ${toJson(target)}`, () =>
    countTargeted(ctx.db, projectId, target),
  );
}

/** A command as its issuer is told of it. */
export async function viewIssued(ctx: Context, command: NewCommand) {
  return {
    id: command.id,
    function: command.function,
    targeted: await countOf(ctx, command.projectId, command.target),
    online: ctx.live.presence.countOnline(command.projectId, command.target),
  };
}

/** Issues one command without an action. Params are taken as they are: there is no call for templates to look into. */
export async function issueCommand(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(commandSchema, input);
  const params = parseStepParams(given.function, given.params);
  if (params.templated)
    throw new Fault('bad_params', 'a command issued directly has no call for templates to look into');
  await requireTarget(ctx.db, caller.projectId, given.target);
  const command = newCommand({
    projectId: caller.projectId,
    triggerId: null,
    source: null,
    function: given.function,
    params: fillParams(given.function, params, null),
    target: given.target,
    now: ctx.now(),
  });
  const issued = await viewIssued(ctx, command);
  await issue(ctx, { trigger: null, commands: [command] });
  return { ...issued, issued_at: instant(command.issuedAt), expires_at: instant(command.expiresAt) };
}

function statusOf(row: Row<'commands'>, now: number): 'active' | 'canceled' | 'ended' | 'replaced' {
  if (row.canceled_at !== null) return 'canceled';
  if (!hasEnded(row, now)) return 'active';
  return row.expires_at !== null && row.expires_at <= now ? 'ended' : 'replaced';
}

function viewCommand(ctx: Context, row: Row<'commands'>) {
  return {
    id: row.id,
    trigger_id: row.trigger_id,
    function: row.function,
    kind: row.slot === null ? ('pulse' as const) : ('state' as const),
    slot: row.slot as Slot | null,
    params: fromJson<Record<string, unknown>>(row.params_json),
    target: fromJson<Target>(row.target_json),
    status: statusOf(row, ctx.now()),
    issued_at: instant(row.issued_at),
    expires_at: instant(row.expires_at),
    canceled_at: instant(row.canceled_at),
  };
}

/** A command with its counts and every device. */
export function viewCommandWithCoverage(
  ctx: Context,
  row: Row<'commands'>,
  coverage: CommandCoverage | undefined,
) {
  if (!coverage) throw new Error(`no coverage was counted for command ${row.id}`);
  const { devices, ...counts } = coverage;
  return { ...viewCommand(ctx, row), coverage: counts, devices };
}

const receiptPageSchema = pageSchema.extend({ cursor: cursorOf(/^\d{1,15}:[a-z]{1,10}$/) });
const filterSchema = pageSchema.extend({ function: z.string().optional() });

/** Newest first, without counts. */
export async function listCommands(ctx: Context, caller: Caller, input: unknown) {
  const filter = parseInput(filterSchema, input);
  const page = await listCommandRows(ctx.db, caller.projectId, filter, pageQuery(filter));
  return { ...page, items: page.items.map((row) => viewCommand(ctx, row)) };
}

export async function getCommand(ctx: Context, caller: Caller, id: string) {
  const row = await requireCommand(ctx, caller, id);
  return viewCommandWithCoverage(ctx, row, (await coverageOfCommands(ctx, [row])).get(id));
}

/** What the devices said, one entry a device and status. */
export async function listReceipts(ctx: Context, caller: Caller, id: string, input: unknown) {
  await requireCommand(ctx, caller, id);
  const page = await listReceiptRows(ctx.db, id, pageQuery(parseInput(receiptPageSchema, input)));
  return {
    ...page,
    items: page.items.map((row) => ({
      device: { id: row.device_id, name: row.device_name },
      status: row.status,
      detail: row.detail,
      at: instant(row.at),
    })),
  };
}

/** Takes a command back: a state stops showing, a pulse reaches nobody any more. What was applied stays applied. */
export async function cancelCommand(ctx: Context, caller: Caller, id: string) {
  const row = await requireCommand(ctx, caller, id);
  if (hasEnded(row, ctx.now())) throw new Fault('conflict', 'the command has ended already');
  await makeChange(ctx, caller, async (tx, note) => {
    if (!(await cancelCommandRow(tx, id, ctx.now())))
      throw new Fault('conflict', 'the command was canceled already');
    await note('command.cancel', { kind: 'command', id }, { function: row.function });
  });
  const inForce = commandInForceOf(row);
  if (inForce) sendEnds(ctx, [inForce]);
  return getCommand(ctx, caller, id);
}

async function requireCommand(ctx: Context, caller: Caller, id: string): Promise<Row<'commands'>> {
  const row = await findOwned(ctx.db, 'commands', caller.projectId, id);
  if (!row) throw new Fault('not_found', 'there is no such command');
  return row;
}

/**
 * A command is one function for one target, issued once, with an end. Most come from triggers; a key with the
 * scope `command` may issue one directly, and any that has not ended can be canceled.
 */

import { z } from 'zod';
import { type Command, selectCommand, selectCommands, updateCanceled } from '../../store/command.ts';
import { pageQuery } from '../../store/page.ts';
import { selectReceipts } from '../../store/receipt.ts';
import { countTargeted } from '../../store/target.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { requireTarget } from '../device/device.ts';
import { isState } from '../device/in-force.ts';
import { type Target, targetSchema } from '../device/target.ts';
import { Fault } from '../fault.ts';
import { cursorOf, instant, membersSchema, pageSchema, parseInput } from '../input.ts';
import { boundWarnings } from '../warning.ts';
import { type CommandCoverage, coverageOfCommands, hasEnded } from './coverage.ts';
import { issue } from './issue.ts';
import { newCommand } from './new-command.ts';
import { readParams } from './params.ts';
import { sendEnds } from './send.ts';

const commandSchema = z.strictObject({
  function: z.string(),
  params: membersSchema.default({}),
  target: targetSchema,
});

/** How many devices a target matches: counted once a second at most, however many triggers ask. */
export async function countOf(
  ctx: Pick<Context, 'db' | 'cache'>,
  projectId: number,
  target: Target,
): Promise<number> {
  return ctx.cache.get(`count ${projectId} ${JSON.stringify(target)}`, () =>
    countTargeted(ctx.db, projectId, target),
  );
}

/** A command as its issuer is told of it. */
export async function viewIssued(ctx: Pick<Context, 'db' | 'cache' | 'live'>, command: Command) {
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
  const { params, warnings } = readParams(given.function, given.params);
  await requireTarget(ctx.db, caller.projectId, given.target);
  const command = newCommand(
    {
      projectId: caller.projectId,
      triggerId: null,
      source: null,
      function: given.function,
      params,
      target: given.target,
    },
    ctx.now(),
  );
  const issued = await viewIssued(ctx, command);
  await issue(ctx, { trigger: null, commands: [command] });
  return {
    ...issued,
    issued_at: instant(command.issuedAt),
    expires_at: instant(command.expiresAt),
    ...(warnings.length > 0 ? { warnings: boundWarnings(warnings) } : {}),
  };
}

function statusOf(command: Command, now: number): 'active' | 'canceled' | 'ended' | 'replaced' {
  if (command.canceledAt !== null) return 'canceled';
  if (!hasEnded(command, now)) return 'active';
  return command.expiresAt !== null && command.expiresAt <= now ? 'ended' : 'replaced';
}

function viewCommand(ctx: Pick<Context, 'now'>, command: Command) {
  return {
    id: command.id,
    trigger_id: command.triggerId,
    function: command.function,
    kind: isState(command) ? ('state' as const) : ('pulse' as const),
    slot: command.slot,
    params: command.params,
    target: command.target,
    status: statusOf(command, ctx.now()),
    issued_at: instant(command.issuedAt),
    expires_at: instant(command.expiresAt),
    canceled_at: instant(command.canceledAt),
  };
}

/** A command with its counts and every device. */
export function viewCommandWithCoverage(
  ctx: Pick<Context, 'now'>,
  command: Command,
  coverage: CommandCoverage | undefined,
) {
  if (!coverage) throw new Error(`no coverage was counted for command ${command.id}`);
  const { devices, ...counts } = coverage;
  return { ...viewCommand(ctx, command), coverage: counts, devices };
}

const receiptPageSchema = pageSchema.extend({ cursor: cursorOf(/^\d{1,15}:[a-z]{1,10}$/) });
const filterSchema = pageSchema.extend({ function: z.string().optional() });

/** Newest first, without counts. */
export async function listCommands(ctx: Context, caller: Caller, input: unknown) {
  const filter = parseInput(filterSchema, input);
  const page = await selectCommands(ctx.db, caller.projectId, filter, pageQuery(filter));
  return { ...page, items: page.items.map((command) => viewCommand(ctx, command)) };
}

export async function getCommand(ctx: Context, caller: Caller, id: string) {
  const command = await requireCommand(ctx, caller, id);
  return viewCommandWithCoverage(ctx, command, (await coverageOfCommands(ctx, [command])).get(id));
}

/** What the devices said, one entry a device and status. */
export async function listReceipts(ctx: Context, caller: Caller, id: string, input: unknown) {
  await requireCommand(ctx, caller, id);
  const page = await selectReceipts(ctx.db, id, pageQuery(parseInput(receiptPageSchema, input)));
  return {
    ...page,
    items: page.items.map((receipt) => ({
      device: { id: receipt.deviceId, name: receipt.deviceName },
      status: receipt.status,
      detail: receipt.detail,
      at: instant(receipt.at),
    })),
  };
}

/** Takes a command back: a state stops showing, a pulse reaches nobody any more. What was applied stays applied. */
export async function cancelCommand(ctx: Context, caller: Caller, id: string) {
  const command = await requireCommand(ctx, caller, id);
  if (hasEnded(command, ctx.now())) throw new Fault('conflict', 'the command has ended already');
  await makeChange(ctx, caller, async (tx, note) => {
    if (!(await updateCanceled(tx, id, ctx.now())))
      throw new Fault('conflict', 'the command was canceled already');
    await note('command.cancel', { kind: 'command', id }, { function: command.function });
  });
  if (isState(command)) sendEnds(ctx, [command]);
  return getCommand(ctx, caller, id);
}

async function requireCommand(ctx: Pick<Context, 'db'>, caller: Caller, id: string): Promise<Command> {
  const command = await selectCommand(ctx.db, caller.projectId, id);
  if (!command) throw new Fault('not_found', 'there is no such command');
  return command;
}

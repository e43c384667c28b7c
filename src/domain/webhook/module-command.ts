/** A command webhook: a caller's words for a receiver, on a second URL of a webhook that has one. */

import { z } from 'zod';
import { selectGroup } from '../../store/group.ts';
import { type Caller, requireScope } from '../access/caller.ts';
import type { Context } from '../context.ts';
import type { Origin } from '../event/event.ts';
import { Fault } from '../fault.ts';
import { membersSchema, nameSchema, parseInput } from '../input.ts';
import { readyWebhooks } from './ready-webhook.ts';

const commandSchema = z.object({ action: nameSchema, parameters: membersSchema.optional() });

/**
 * Stores `{action, parameters?}` and delivers it to the module's command webhook like any event: signed, at least once.
 * Needs the scope `command`. Throws `not_found` for a home or module that is not there or takes no commands, and
 * `conflict` for one that is switched off.
 */
export async function sendCommand(
  ctx: Context,
  caller: Caller,
  { homeId, moduleId: wanted, command }: { homeId: number; moduleId: string; command: unknown },
): Promise<void> {
  requireScope(caller, 'command');
  const home = await selectGroup(ctx.db, caller.projectId, homeId);
  if (!home) throw new Fault('not_found', 'there is no such home');
  // Of what the event is held against when it is stored: a webhook that is not known there would get nothing.
  const webhooks = [...(await readyWebhooks(ctx, caller.projectId)).values()];
  const webhook = webhooks.find(({ moduleId }) => moduleId === wanted);
  if (!webhook?.commandUrl) throw new Fault('not_found', 'there is no such module with a command webhook');
  if (!webhook.enabled) throw new Fault('conflict', 'the module is switched off');
  const { action, parameters = {} } = parseInput(commandSchema, command);
  const origin: Origin = {
    home_id: home.id,
    ...(caller.kind === 'user' && caller.id !== null ? { user: { id: caller.id } } : {}),
    ...(caller.kind === 'key' && caller.id !== null ? { key: { id: caller.id, name: caller.name } } : {}),
  };
  await ctx.queues.intake.add({
    projectId: caller.projectId,
    kind: 'command',
    type: action,
    label: null,
    origin,
    mediaType: 'application/json',
    body: Buffer.from(JSON.stringify({ action, parameters })),
    to: [webhook.id],
  });
}

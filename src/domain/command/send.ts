/**
 * Tells the connected devices what has changed: one message for each distinct outcome, however many devices
 * share it. Called after the commit; who is not connected is caught up on return.
 */

import { fromJson } from '../../store/columns.ts';
import { listCommandsInForce, retireCommands } from '../../store/command.ts';
import type { Row } from '../../store/schema.ts';
import type { Context } from '../context.ts';
import type { CommandInForce } from '../device/in-force.ts';
import type { Connection } from '../device/presence.ts';
import { foldSlot, type Slot } from '../device/state.ts';
import type { Target } from '../device/target.ts';
import { instant } from '../input.ts';
import type { NewCommand } from './new-command.ts';

type SendContext = Pick<Context, 'now' | 'feed' | 'live'>;

export function sendPulse(ctx: SendContext, command: NewCommand): void {
  const connections = ctx.live.presence.match(command.projectId, command.target);
  publish(ctx, command, connections.length);
  if (connections.length === 0) return;
  ctx.live.presence.send(connections, {
    event: 'command',
    message: {
      id: command.id,
      function: command.function,
      params: command.params,
      issued_at: instant(command.issuedAt),
      expires_at: instant(command.expiresAt ?? command.issuedAt),
      trigger_id: command.triggerId,
    },
  });
}

/** Takes a state command in force, the ones it retires out, and tells every device that either concerns. */
export function sendState(
  ctx: SendContext,
  command: NewCommand & { slot: Slot },
  retired: readonly CommandInForce[],
): void {
  const { id, projectId, slot, source, params, target, expiresAt } = command;
  for (const other of retired) ctx.live.inForce.remove(other.id);
  ctx.live.inForce.add({
    id,
    projectId,
    slot,
    source,
    function: command.function,
    params,
    target,
    expiresAt,
  });
  const caused = new Set(ctx.live.presence.match(projectId, target));
  const others = connectionsOf(ctx, retired).filter((connection) => !caused.has(connection));
  publish(ctx, command, caused.size);
  sendOutcomes(ctx, slot, [...caused], [id]);
  sendOutcomes(ctx, slot, others, []);
}

/** Takes commands out of force, whose end has come or that were canceled, and tells every device they concern. */
export function sendEnds(ctx: SendContext, ended: readonly CommandInForce[]): void {
  const bySlot = Map.groupBy(ended, (command) => command.slot);
  for (const [slot, commands] of bySlot) {
    for (const command of commands) ctx.live.inForce.remove(command.id);
    sendOutcomes(ctx, slot, connectionsOf(ctx, commands), []);
  }
}

function connectionsOf(ctx: SendContext, commands: readonly CommandInForce[]): Connection[] {
  return [
    ...new Set(commands.flatMap((command) => ctx.live.presence.match(command.projectId, command.target))),
  ];
}

function sendOutcomes(
  ctx: SendContext,
  slot: Slot,
  connections: readonly Connection[],
  causes: string[],
): void {
  const now = ctx.now();
  const outcomes = new Map<string, { commands: CommandInForce[]; connections: Connection[] }>();
  for (const connection of connections) {
    const commands = ctx.live.inForce.matching(connection.device, slot);
    const key = commands.map((command) => command.id).join();
    const outcome = outcomes.get(key);
    if (outcome) outcome.connections.push(connection);
    else outcomes.set(key, { commands, connections: [connection] });
  }
  for (const { commands, connections: sharing } of outcomes.values()) {
    const message = { [slot]: foldSlot(slot, commands, now), causes };
    ctx.live.presence.send(sharing, { event: 'state', message });
  }
}

function publish(ctx: SendContext, command: NewCommand, connections: number): void {
  const { projectId, id: commandId, expiresAt: end } = command;
  ctx.feed.publish({ kind: 'command', projectId, commandId, function: command.function, connections, end });
}

/** Ends the states whose time has come; answers the milliseconds until the next end. The server's clock decides. */
export async function endStates(ctx: SendContext & Pick<Context, 'db'>): Promise<number> {
  const ended = ctx.live.inForce.ended(ctx.now());
  sendEnds(ctx, ended);
  await retireCommands(
    ctx.db,
    ended.map((command) => command.id),
  );
  const next = ctx.live.inForce.nextEnd();
  return next === null ? Number.POSITIVE_INFINITY : Math.max(0, next - ctx.now());
}

/** Brings the commands in force back from the database at start. */
export async function loadInForce(ctx: Pick<Context, 'db' | 'live'>): Promise<void> {
  for (const row of await listCommandsInForce(ctx.db)) {
    const command = commandInForceOf(row);
    if (command) ctx.live.inForce.add(command);
  }
}

export function commandInForceOf(row: Row<'commands'>): CommandInForce | null {
  if (row.slot === null) return null;
  return {
    id: row.id,
    projectId: row.project_id,
    slot: row.slot as Slot,
    source: row.source,
    function: row.function,
    params: fromJson<Record<string, unknown>>(row.params_json),
    target: fromJson<Target>(row.target_json),
    expiresAt: row.expires_at,
  };
}

/**
 * Tells the connected devices what was issued and what has ended: one message for each distinct outcome, however many
 * devices share it. Called after the commit; who is not connected is caught up on return.
 */

import { type Command, selectCommandsInForce, updateOutOfForce } from '../../store/command.ts';
import type { Context } from '../context.ts';
import { commandMessage } from '../device/connection.ts';
import { type CommandInForce, isState } from '../device/in-force.ts';
import type { Connection } from '../device/presence.ts';
import { foldSlot, type Slot } from '../device/state.ts';
import { instant } from '../input.ts';

type SendContext = Pick<Context, 'now' | 'feed' | 'live'>;

/** Sends a pulse to the devices it is for. */
export function sendPulse(ctx: SendContext, command: Command): void {
  const connections = ctx.live.presence.match(command.projectId, command.target);
  publish(ctx, command, connections.length, []);
  if (connections.length === 0) return;
  ctx.live.presence.send(connections, { event: 'command', message: commandMessage(command, ctx.now()) });
}

/** Takes a state command in force, those it replaces out, and tells every device that either concerns. */
export function sendState(
  ctx: SendContext,
  command: Command & { slot: Slot },
  replaced: readonly CommandInForce[],
): void {
  const { id, projectId, slot, target } = command;
  for (const other of replaced) ctx.live.inForce.remove(other.id);
  ctx.live.inForce.add(command);
  const caused = new Set(ctx.live.presence.match(projectId, target));
  const others = connectionsOf(ctx, replaced).filter((connection) => !caused.has(connection));
  publish(ctx, command, caused.size, replaced);
  sendOutcomes(ctx, slot, [...caused], [id]);
  sendOutcomes(ctx, slot, others, []);
}

/** Takes commands out of force, whose end has come or that were canceled, and tells every device they concern. */
export function sendEnds(ctx: Pick<Context, 'now' | 'live'>, ended: readonly CommandInForce[]): void {
  const bySlot = Map.groupBy(ended, (command) => command.slot);
  for (const [slot, commands] of bySlot) {
    for (const command of commands) ctx.live.inForce.remove(command.id);
    sendOutcomes(ctx, slot, connectionsOf(ctx, commands), []);
  }
}

function connectionsOf(ctx: Pick<Context, 'live'>, commands: readonly CommandInForce[]): Connection[] {
  return [
    ...new Set(commands.flatMap((command) => ctx.live.presence.match(command.projectId, command.target))),
  ];
}

/** Tells each connection what its slot shows now, `causes` being the commands that changed it. */
function sendOutcomes(
  ctx: Pick<Context, 'now' | 'live'>,
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
    const message = { [slot]: foldSlot(slot, commands, now), causes, at: instant(now) };
    ctx.live.presence.send(sharing, { event: 'state', message });
  }
}

function publish(
  ctx: Pick<Context, 'feed'>,
  command: Command,
  connections: number,
  replaced: readonly CommandInForce[],
): void {
  ctx.feed.publish({
    kind: 'command',
    projectId: command.projectId,
    commandId: command.id,
    function: command.function,
    connections,
    end: command.expiresAt,
    replaced: replaced.map((other) => other.id),
  });
}

/** Ends the states whose time has come; answers the milliseconds until the next end. The server's clock decides. */
export async function endStates(ctx: Pick<Context, 'db' | 'now' | 'live'>): Promise<number> {
  const ended = ctx.live.inForce.ended(ctx.now());
  sendEnds(ctx, ended);
  await updateOutOfForce(
    ctx.db,
    ended.map((command) => command.id),
  );
  const next = ctx.live.inForce.nextEnd();
  return next === null ? Number.POSITIVE_INFINITY : Math.max(0, next - ctx.now());
}

/** Brings the commands in force back from the database at start. */
export async function loadInForce(ctx: Pick<Context, 'db' | 'live'>): Promise<void> {
  for (const command of await selectCommandsInForce(ctx.db)) {
    if (isState(command)) ctx.live.inForce.add(command);
  }
}

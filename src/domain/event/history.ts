/** What was said, looked at afterwards: lists, single events, their bodies. */
import { z } from 'zod';
import { selectEvent, selectEvents } from '../../store/event.ts';
import { pageQuery } from '../../store/page.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { firstIdAt } from '../id.ts';
import { flagSchema, idSchema, instant, instantSchema, parseInput, timedPageSchema } from '../input.ts';
import { bodyOf } from './body.ts';
import { eventKinds, type Origin, payloadOf, type StoredEvent } from './event.ts';

function viewEvent(event: StoredEvent) {
  return {
    id: event.id,
    kind: event.kind,
    type: event.type,
    label: event.label,
    device: viewDevice(event.origin.device),
    key: event.origin.key ?? null,
    user: event.origin.user ?? null,
    rule_id: event.origin.rule_id ?? null,
    media_type: event.mediaType,
    bytes: event.bodyBytes,
    problem: event.problem,
    at: instant(event.at),
  };
}

/** The device as it was then, in the words of the devices' own list. */
function viewDevice(device: Origin['device']) {
  if (!device) return null;
  const { id, name, type, group_id, group_path, tags, ip } = device;
  return { id, name, type, group_id, group_path, tags, address: ip };
}

const filterSchema = timedPageSchema.extend({
  kind: z.enum(eventKinds).optional(),
  type: z.string().optional(),
  label: z.string().optional(),
  device_id: idSchema.optional(),
  refused: flagSchema.optional(),
  from: instantSchema.optional(),
  to: instantSchema.optional(),
});

/** Newest first. `from` is part of the range, `to` is not. */
export async function listEvents(ctx: Pick<Context, 'db'>, caller: Caller, input: unknown) {
  const { device_id: deviceId, from, to, ...given } = parseInput(filterSchema, input);
  const filter = {
    ...given,
    deviceId,
    from: from === undefined ? undefined : firstIdAt(from),
    below: to === undefined ? undefined : firstIdAt(to),
  };
  const page = await selectEvents(ctx.db, caller.projectId, filter, pageQuery(given));
  return { ...page, items: page.items.map(viewEvent) };
}

/** One event with what it says: `data` where that is JSON of a size to read. */
export async function getEvent(ctx: Pick<Context, 'db'>, caller: Caller, id: string) {
  const event = await requireEvent(ctx, caller, id);
  return { ...viewEvent(event), data: event.body ? (payloadOf(event, event.body) ?? null) : null };
}

/** The bytes of an event as they came. */
export async function getEventBody(ctx: Pick<Context, 'db'>, caller: Caller, id: string) {
  const event = await requireEvent(ctx, caller, id);
  return { mediaType: event.mediaType, bytes: event.bodyBytes, parts: bodyOf(ctx.db, event) };
}

async function requireEvent(ctx: Pick<Context, 'db'>, caller: Caller, id: string): Promise<StoredEvent> {
  const event = await selectEvent(ctx.db, caller.projectId, id);
  if (!event) throw new Fault('not_found', 'there is no such event');
  return event;
}

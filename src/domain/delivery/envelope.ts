/** An event in the words of MODE's webhooks: the envelope that goes out, and what templates look into. */
import { selectGroup } from '../../store/group.ts';
import type { Context } from '../context.ts';
import { wholeBodyOf } from '../event/body.ts';
import { payloadOf, type StoredEvent } from '../event/event.ts';
import { instant } from '../input.ts';

/** Who said it, when and where. */
function aboutOf(event: StoredEvent): Record<string, unknown> {
  const { device, key, user } = event.origin;
  return {
    timestamp: instant(event.at),
    homeId: homeIdOf(event) ?? 0,
    ...(device
      ? {
          originDeviceId: device.id,
          ...(device.class === null ? {} : { originDeviceClass: device.class }),
          ...(device.ip === null ? {} : { originDeviceIp: device.ip }),
        }
      : {}),
    ...(user ? { originUserId: user.id } : {}),
    ...(key ? { originProjectKeyID: key.id, originProjectKeyName: key.name } : {}),
  };
}

const homeIdOf = ({ origin }: StoredEvent) => origin.home_id ?? origin.device?.group_id ?? null;
const eventTypeOf = (event: StoredEvent): string => event.type ?? event.label ?? event.kind;

/** An event the way MODE's webhooks tell it; what was said is put in by its own text, so that it stays exact. */
export function envelopeOf(event: StoredEvent, said: string): string {
  const about = JSON.stringify(aboutOf(event)).slice(1);
  if (event.kind === 'command') return `${said.slice(0, -1)},${about}`;
  return `{"eventType":${JSON.stringify(eventTypeOf(event))},"eventData":${said},${about}`;
}

/**
 * An event as templates look into it: the envelope and a few names more. `looksAt` are the names that are asked for:
 * what takes a look into the database is left out where nobody does. Bulk data has nothing to look into.
 */
export async function scopeOf(
  ctx: Pick<Context, 'db' | 'cache'>,
  event: StoredEvent,
  looksAt: ReadonlySet<string>,
): Promise<Record<string, unknown>> {
  const about = {
    eventType: eventTypeOf(event),
    eventId: event.id,
    eventKind: event.kind,
    ...aboutOf(event),
  };
  const isRead =
    event.kind !== 'bulk' && ['eventData', 'action', 'parameters'].some((name) => looksAt.has(name));
  const said = isRead ? payloadOf(event, await wholeBodyOf(ctx.db, event)) : undefined;
  return {
    ...about,
    ...(event.kind === 'command' ? { ...(said as object) } : { eventData: said }),
    ...(event.origin.device ? { deviceName: event.origin.device.name } : {}),
    ...(looksAt.has('homeName') ? { homeName: await homeNameOf(ctx, event) } : {}),
  };
}

/** As it is called now: an event keeps its home by id. */
async function homeNameOf(
  ctx: Pick<Context, 'db' | 'cache'>,
  event: StoredEvent,
): Promise<string | undefined> {
  const id = homeIdOf(event);
  if (id === null) return undefined;
  const group = await ctx.cache.get(`group ${event.projectId} ${id}`, () =>
    selectGroup(ctx.db, event.projectId, id),
  );
  return group?.name;
}

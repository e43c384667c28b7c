/**
 * What a device wants said if it goes without a word (MQTT 3.1.1 §3.1.2.5). Its door says it when the connection breaks;
 * what is kept here is for the death of the server, when no door is left to do so.
 */
import type { Will } from '../../store/will.ts';
import type { Context } from '../context.ts';
import type { DeviceFacts } from '../device/presence.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { publishBulk, publishEventJson, publishMessageBytes } from './publish.ts';

/** As long as its column is. */
const nameCharactersMax = 200;

export type LeftWill = Pick<Will, 'what' | 'name' | 'bytes'>;

/** Keeps the will of a connection; answers the id to forget it by, null when it could not be said anyway. */
export function keepWill(
  ctx: Pick<Context, 'now' | 'queues'>,
  deviceId: number,
  { what, name, bytes }: LeftWill,
): string | null {
  if ((name?.length ?? 0) > nameCharactersMax) return null;
  const id = newId(ctx.now());
  ctx.queues.sightings.willLeft({ id, deviceId, what, name, bytes });
  return id;
}

/** Says a will as if the device had said it. One that is refused is in the log. */
export async function publishWill(
  ctx: Pick<Context, 'db' | 'log' | 'now' | 'cache' | 'queues'>,
  device: DeviceFacts,
  address: string | null,
  { what, name, bytes }: LeftWill,
): Promise<void> {
  const sender = { device, address };
  try {
    if (what === 'event') await publishEventJson(ctx, sender, bytes);
    else if (what === 'bulk') await publishBulk(ctx, sender, name, bytes);
    else await publishMessageBytes(ctx, sender, { type: name, mediaType: null, bytes });
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    ctx.log.warn({ device: device.id, code: error.code, detail: error.message }, 'a will was refused');
  }
}

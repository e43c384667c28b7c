/** Who says something: the device, or the program that speaks for it, and what an event keeps of that. */
import { selectDevice } from '../../store/device.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { readyTypes } from '../device/device-type.ts';
import { factsOf } from '../device/presence.ts';
import type { Speaker } from '../device/session.ts';
import { Fault } from '../fault.ts';
import type { Origin } from './event.ts';

/** Who speaks: a device, or a program with a key that speaks for it. */
export type Sender = Speaker & { key?: { id: string; name: string } | undefined };

/** Who speaks, as an event keeps it. */
export async function originOf(
  ctx: Pick<Context, 'db' | 'cache'>,
  { device, address, key }: Sender,
): Promise<Origin> {
  const type = (await readyTypes(ctx, device.projectId)).get(device.typeId ?? '');
  return {
    device: {
      id: device.id,
      name: device.name,
      class: type?.class ?? null,
      type_id: device.typeId,
      type: type?.name ?? null,
      group_id: device.groupPath.at(-1) ?? null,
      group_path: device.groupPath,
      tags: [...device.tags],
      ip: address,
    },
    ...(key ? { key } : {}),
  };
}

/** The device that a program speaks for; throws `not_found` for one that is not its project's. */
export async function senderOf(ctx: Pick<Context, 'db'>, caller: Caller, deviceId: number): Promise<Sender> {
  const device = await selectDevice(ctx.db, caller.projectId, deviceId);
  if (!device) throw new Fault('not_found', 'there is no such device');
  return {
    device: factsOf(device),
    address: caller.address,
    key: caller.kind === 'key' && caller.id !== null ? { id: caller.id, name: caller.name } : undefined,
  };
}

/** Who says something: the device, or the program that speaks for it, and what an event keeps of that. */
import { findDevice, tagsOfDevices } from '../../store/device.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { readyTypes } from '../device/device-type.ts';
import type { DeviceFacts } from '../device/presence.ts';
import { idsOnPath } from '../device/target.ts';
import { Fault } from '../fault.ts';
import type { Origin } from './event.ts';

/** Who speaks: a device, or a program with a key that speaks for it. */
export type Sender = {
  device: DeviceFacts;
  address: string | null;
  key?: { id: string; name: string } | undefined;
};

/** Who speaks, as an event keeps it. */
export async function originOf(ctx: Context, { device, address, key }: Sender): Promise<Origin> {
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
export async function senderOf(ctx: Context, caller: Caller, deviceId: number): Promise<Sender> {
  const row = await findDevice(ctx.db, caller.projectId, deviceId);
  if (!row) throw new Fault('not_found', 'there is no such device');
  const tags = (await tagsOfDevices(ctx.db, [row.id])).get(row.id) ?? [];
  return {
    device: {
      id: row.id,
      projectId: row.project_id,
      name: row.name,
      typeId: row.type_id,
      groupPath: idsOnPath(row.group_path ?? ''),
      tags: new Set(tags),
    },
    address: caller.address,
    key: caller.kind === 'key' && caller.id !== null ? { id: caller.id, name: caller.name } : undefined,
  };
}

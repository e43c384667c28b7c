/** What the demo is made of: three groups, 24 devices of two types, and an action for every function. */

import type { Caller } from '../domain/access/caller.ts';
import { createKey } from '../domain/access/key.ts';
import type { Context } from '../domain/context.ts';
import { createDeviceType } from '../domain/device/device-type.ts';
import { createDevices } from '../domain/device/enroll.ts';
import { createGroup } from '../domain/device/group.ts';
import { createAction } from '../domain/trigger/action.ts';
import { createLink } from '../domain/trigger/link.ts';

export type DemoFleet = {
  keyId: string;
  key: string;
  link: string;
  devices: { id: number; name: string; token: string }[];
};

const places = ['Lobby', 'Factory', 'Parking'];
const screensPerPlace = 6;
const gatesPerPlace = 2;

const everyone = { all: true };
const gates = { tags: ['gate'], match: 'any' };
const screens = { tags: ['screen'], match: 'any' };

/** By event_id: one action for each function of the catalogue. */
const actions: Readonly<Record<string, { name: string; steps: object[] }>> = {
  evacuate: {
    name: 'Evacuate the building',
    steps: [
      {
        function: 'enable_emergency',
        params: { message: '{{ payload.message }}', level: 'critical', priority: 90 },
        target: everyone,
      },
    ],
  },
  'all-clear': { name: 'All clear', steps: [{ function: 'disable_emergency', target: everyone }] },
  'load-page': {
    name: 'Show the visitors page',
    steps: [{ function: 'load_url', params: { url: 'https://example.com/visitors' }, target: screens }],
  },
  'pause-loop': { name: 'Hold the loop', steps: [{ function: 'pause_loop', target: screens }] },
  'resume-loop': { name: 'Let the loop go on', steps: [{ function: 'resume_loop', target: screens }] },
  'refresh-data': {
    name: 'Read the timetable again',
    steps: [{ function: 'refresh_datasource', params: { datasource_id: 'timetable' }, target: screens }],
  },
  'refresh-content': {
    name: 'Read the content again',
    steps: [{ function: 'refresh_content', target: screens }],
  },
  sensor: { name: 'A sensor says something', steps: [{ function: 'send_sensor_event', target: screens }] },
  restart: {
    name: 'Restart the gates',
    steps: [{ function: 'restart_device', params: { jitter: 1 }, target: gates }],
  },
  toast: {
    name: 'A short message',
    steps: [
      { function: 'show_toast', params: { message: '{{ payload.message }}', seconds: 10 }, target: screens },
    ],
  },
  'open-gates': {
    name: 'Open the gates',
    steps: [{ function: 'custom', params: { action: 'open', parameters: { seconds: 30 } }, target: gates }],
  },
};

export const demoEvents = Object.keys(actions);

/** Fills an empty project. Throws `name_taken` when some of it is there. */
export async function fillDemo(ctx: Context, caller: Caller): Promise<DemoFleet> {
  await createDeviceType(ctx, caller, {
    name: 'screen',
    message_types: [
      { id: 'status', schema: { type: 'object', properties: { temperature: { type: 'number' } } } },
    ],
  });
  await createDeviceType(ctx, caller, { name: 'gate' });
  const wanted: object[] = [];
  for (const place of places) {
    const group = await createGroup(ctx, caller, { name: place });
    const add = (type: string, count: number) => {
      for (let number = 1; number <= count; number += 1) {
        const name = `${place.toLowerCase()}-${type}-${number}`;
        wanted.push({ name, group_id: group.id, type, tags: [type, place.toLowerCase()] });
      }
    };
    add('screen', screensPerPlace);
    add('gate', gatesPerPlace);
  }
  const { items } = await createDevices(ctx, caller, wanted);
  for (const [event_id, action] of Object.entries(actions)) {
    await createAction(ctx, caller, { event_id, ...action });
  }
  const { id, key } = await createKey(ctx, caller, { name: 'Demo trigger key', scopes: ['trigger'] });
  const link = await createLink(ctx, caller, {
    event_id: 'toast',
    payload: { message: 'Hello from a safe link' },
  });
  const devices = items.map(({ id: deviceId, name = '', token }) => ({ id: deviceId, name, token }));
  return { keyId: id, key, link: `/l/${link.token}`, devices };
}

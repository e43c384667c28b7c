/** An alarm rule with a device that speaks, and what became of it. */
import assert from 'node:assert/strict';
import { makeDevice } from './fleet.ts';
import { bodyOf } from './management.ts';
import type { TestServer } from './server.ts';

export const hot = { path: 'temperature', op: '>', value: 30 };
export const cold = { path: 'temperature', op: '<', value: 20 };

export type SeenAlarm = {
  id: string;
  active: boolean;
  element: number | null;
  first_seen: string;
  last_seen: string;
  notified: boolean;
  observation: { temperature: number; event_id?: string };
  cleared_at: string | null;
  cleared_by: string | null;
  cleared_reason: string | null;
};

let types = 0;

/** Makes a device of a type of its own, and a rule for it. Without a schema, a message may be of any size. */
export function alarmSetUp(server: () => TestServer) {
  return async (rule: object, schema: object | boolean | null = {}) => {
    const { api } = server();
    types += 1;
    const type = `type-${types}-${process.pid}`;
    const message_types = schema === null ? [] : [{ id: 'reading', schema }];
    bodyOf(await api('/device-types', { body: { id: type, name: type, message_types } }), 201);
    const made = await makeDevice(server(), { name: `device of ${type}`, type });
    const device = await server().device(made.token);
    const body = {
      name: type,
      level: 'critical',
      device_type: type,
      message_type: 'reading',
      when: hot,
      ...rule,
    };
    const created = bodyOf(await api('/alarm-rules', { body }), 201);
    const say = async (payload: unknown, type = 'reading') => {
      const answer = await device.socket.timeout(5_000).emitWithAck('message', { type, payload });
      assert.equal(answer.ok, true, JSON.stringify(answer));
      return answer.id as string;
    };
    /** The alarms of the rule, oldest first. */
    const alarms = async () =>
      bodyOf(await api(`/alarms?rule_id=${created.id}`), 200).items.toReversed() as SeenAlarm[];
    const activity = async () => (await alarms()).map((alarm) => alarm.active);
    return { rule: created, type, made, say, alarms, activity };
  };
}

/**
 * The management routes, one line each: method, path, who may call, and the room that answers. openapi.yaml is
 * the contract of these lines: requests are checked against it, and a test compares the two in both directions.
 */

import { listChanges } from '../domain/access/audit.ts';
import type { Caller, Scope } from '../domain/access/caller.ts';
import {
  changeKey,
  createKey,
  getKey,
  listKeys,
  removeKey,
  revealKey,
  rotateKey,
} from '../domain/access/key.ts';
import {
  changeProject,
  createProject,
  getProject,
  listProjects,
  removeProject,
} from '../domain/access/project.ts';
import { changeUser, createUser, getUser, listUsers, removeUser } from '../domain/access/user.ts';
import { clearAlarm, getAlarm, listAlarms, noteAlarm } from '../domain/alarm/alarm.ts';
import {
  changeAlarmRule,
  createAlarmRule,
  getAlarmRule,
  listAlarmRules,
  removeAlarmRule,
} from '../domain/alarm/alarm-rule.ts';
import {
  cancelCommand,
  getCommand,
  issueCommand,
  listCommands,
  listReceipts,
} from '../domain/command/command.ts';
import { cancelDelivery, getDelivery, listDeliveries, listWebhookLogs } from '../domain/delivery/delivery.ts';
import { replayDelivery, replayRange } from '../domain/delivery/replay.ts';
import { testWebhook } from '../domain/delivery/trial.ts';
import {
  changeDevice,
  getDevice,
  getDeviceState,
  listDevices,
  removeDevice,
  rotateToken,
} from '../domain/device/device.ts';
import {
  changeDeviceType,
  createDeviceType,
  getDeviceType,
  listDeviceTypes,
  removeDeviceType,
} from '../domain/device/device-type.ts';
import { createDevice, createDevices } from '../domain/device/enroll.ts';
import { changeGroup, createGroup, getGroup, listGroups, removeGroup } from '../domain/device/group.ts';
import { getEvent, listEvents } from '../domain/event/history.ts';

import {
  changeAction,
  createAction,
  getAction,
  listActions,
  removeAction,
} from '../domain/trigger/action.ts';
import { createLink, getLink, listLinks, removeLink } from '../domain/trigger/link.ts';
import { getTrigger, listTriggers } from '../domain/trigger/trigger-log.ts';
import { revealSecret, rotateSecret } from '../domain/webhook/secret.ts';
import {
  changeWebhook,
  createWebhook,
  getWebhook,
  listWebhooks,
  removeWebhook,
} from '../domain/webhook/webhook.ts';
import { testAction } from './action.ts';
import { sendEventBody } from './event.ts';
import { created, gone, ok, type Route, route } from './route.ts';

const read: readonly Scope[] = ['read'];
const manage: readonly Scope[] = ['manage'];
const admin: readonly Scope[] = ['admin'];
const command: readonly Scope[] = ['command'];

// biome-ignore format: a table reads best with one line a route.
export const routes: readonly Route[] = [
  route('get', '/whoami', [], ok(async ({ caller }) => viewCaller(caller))),

  route('post', '/keys', manage, created(({ ctx, caller, body }) => createKey(ctx, caller, body))),
  route('get', '/keys', manage, ok(({ ctx, caller, query }) => listKeys(ctx, caller, query))),
  route('get', '/keys/:id', manage, ok(({ ctx, caller, text }) => getKey(ctx, caller, text('id')))),
  route('patch', '/keys/:id', manage, ok(({ ctx, caller, text, body }) => changeKey(ctx, caller, text('id'), body))),
  route('delete', '/keys/:id', manage, gone(({ ctx, caller, text }) => removeKey(ctx, caller, text('id')))),
  route('get', '/keys/:id/reveal', manage, ok(({ ctx, caller, text }) => revealKey(ctx, caller, text('id')))),
  route('post', '/keys/:id/rotate', manage, ok(({ ctx, caller, text }) => rotateKey(ctx, caller, text('id')))),

  route('post', '/users', manage, created(({ ctx, caller, body }) => createUser(ctx, caller, body))),
  route('get', '/users', manage, ok(({ ctx, caller, query }) => listUsers(ctx, caller, query))),
  route('get', '/users/:id', manage, ok(({ ctx, caller, text }) => getUser(ctx, caller, text('id')))),
  route('patch', '/users/:id', manage, ok(({ ctx, caller, text, body }) => changeUser(ctx, caller, text('id'), body))),
  route('delete', '/users/:id', manage, gone(({ ctx, caller, text }) => removeUser(ctx, caller, text('id')))),

  route('get', '/audit', manage, ok(({ ctx, caller, query }) => listChanges(ctx, caller, query))),

  route('post', '/projects', admin, created(({ ctx, caller, body }) => createProject(ctx, caller, body))),
  route('get', '/projects', admin, ok(({ ctx, query }) => listProjects(ctx, query))),
  route('get', '/projects/:id', admin, ok(({ ctx, number }) => getProject(ctx, number('id')))),
  route('patch', '/projects/:id', admin, ok(({ ctx, caller, number, body }) => changeProject(ctx, caller, number('id'), body))),
  route('delete', '/projects/:id', admin, gone(({ ctx, caller, number }) => removeProject(ctx, caller, number('id')))),

  route('post', '/groups', manage, created(({ ctx, caller, body }) => createGroup(ctx, caller, body))),
  route('get', '/groups', read, ok(({ ctx, caller, query }) => listGroups(ctx, caller, query))),
  route('get', '/groups/:id', read, ok(({ ctx, caller, number }) => getGroup(ctx, caller, number('id')))),
  route('patch', '/groups/:id', manage, ok(({ ctx, caller, number, body }) => changeGroup(ctx, caller, number('id'), body))),
  route('delete', '/groups/:id', manage, gone(({ ctx, caller, number }) => removeGroup(ctx, caller, number('id')))),

  route('post', '/device-types', manage, created(({ ctx, caller, body }) => createDeviceType(ctx, caller, body))),
  route('get', '/device-types', read, ok(({ ctx, caller, query }) => listDeviceTypes(ctx, caller, query))),
  route('get', '/device-types/:id', read, ok(({ ctx, caller, text }) => getDeviceType(ctx, caller, text('id')))),
  route('patch', '/device-types/:id', manage, ok(({ ctx, caller, text, body }) => changeDeviceType(ctx, caller, text('id'), body))),
  route('delete', '/device-types/:id', manage, gone(({ ctx, caller, text }) => removeDeviceType(ctx, caller, text('id')))),

  route('post', '/devices', manage, created(({ ctx, caller, body }) => Array.isArray(body) ? createDevices(ctx, caller, body) : createDevice(ctx, caller, body))),
  route('get', '/devices', read, ok(({ ctx, caller, query }) => listDevices(ctx, caller, query))),
  route('get', '/devices/:id', read, ok(({ ctx, caller, number }) => getDevice(ctx, caller, number('id')))),
  route('patch', '/devices/:id', manage, ok(({ ctx, caller, number, body }) => changeDevice(ctx, caller, number('id'), body))),
  route('delete', '/devices/:id', manage, gone(({ ctx, caller, number }) => removeDevice(ctx, caller, number('id')))),
  route('post', '/devices/:id/rotate-token', manage, ok(({ ctx, caller, number }) => rotateToken(ctx, caller, number('id')))),
  route('get', '/devices/:id/state', read, ok(({ ctx, caller, number }) => getDeviceState(ctx, caller, number('id')))),

  route('post', '/actions', manage, created(({ ctx, caller, body }) => createAction(ctx, caller, body))),
  route('get', '/actions', read, ok(({ ctx, caller, query }) => listActions(ctx, caller, query))),
  route('get', '/actions/:event_id', read, ok(({ ctx, caller, text }) => getAction(ctx, caller, text('event_id')))),
  route('patch', '/actions/:event_id', manage, ok(({ ctx, caller, text, body }) => changeAction(ctx, caller, text('event_id'), body))),
  route('delete', '/actions/:event_id', manage, gone(({ ctx, caller, text }) => removeAction(ctx, caller, text('event_id')))),
  route('post', '/actions/:event_id/test', ['manage', 'trigger'], testAction),

  route('post', '/links', manage, created(({ ctx, caller, body }) => createLink(ctx, caller, body))),
  route('get', '/links', manage, ok(({ ctx, caller, query }) => listLinks(ctx, caller, query))),
  route('get', '/links/:id', manage, ok(({ ctx, caller, text }) => getLink(ctx, caller, text('id')))),
  route('delete', '/links/:id', manage, gone(({ ctx, caller, text }) => removeLink(ctx, caller, text('id')))),

  route('post', '/webhooks', manage, created(({ ctx, caller, body }) => createWebhook(ctx, caller, body))),
  route('get', '/webhooks', manage, ok(({ ctx, caller, query }) => listWebhooks(ctx, caller, query))),
  route('get', '/webhooks/:id', manage, ok(({ ctx, caller, text }) => getWebhook(ctx, caller, text('id')))),
  route('patch', '/webhooks/:id', manage, ok(({ ctx, caller, text, body }) => changeWebhook(ctx, caller, text('id'), body))),
  route('delete', '/webhooks/:id', manage, gone(({ ctx, caller, text }) => removeWebhook(ctx, caller, text('id')))),
  route('get', '/webhooks/:id/secret', manage, ok(({ ctx, caller, text }) => revealSecret(ctx, caller, text('id')))),
  route('post', '/webhooks/:id/rotate-secret', manage, ok(({ ctx, caller, text, body }) => rotateSecret(ctx, caller, text('id'), body))),
  route('post', '/webhooks/:id/test', manage, ok(({ ctx, caller, text, body }) => testWebhook(ctx, caller, text('id'), body))),
  route('get', '/webhooks/:id/deliveries', read, ok(({ ctx, caller, text, query }) => listDeliveries(ctx, caller, query, text('id')))),
  route('get', '/webhooks/:id/logs', read, ok(({ ctx, caller, text, query }) => listWebhookLogs(ctx, caller, text('id'), query))),
  route('post', '/webhooks/:id/replay', manage, ok(({ ctx, caller, text, body }) => replayRange(ctx, caller, text('id'), body))),

  route('get', '/deliveries', read, ok(({ ctx, caller, query }) => listDeliveries(ctx, caller, query))),
  route('get', '/deliveries/:id', read, ok(({ ctx, caller, text }) => getDelivery(ctx, caller, text('id')))),
  route('post', '/deliveries/:id/replay', manage, ok(({ ctx, caller, text }) => replayDelivery(ctx, caller, text('id')))),
  route('post', '/deliveries/:id/cancel', manage, ok(({ ctx, caller, text }) => cancelDelivery(ctx, caller, text('id')))),

  route('get', '/events', read, ok(({ ctx, caller, query }) => listEvents(ctx, caller, query))),
  route('get', '/events/:id', read, ok(({ ctx, caller, text }) => getEvent(ctx, caller, text('id')))),
  route('get', '/events/:id/body', read, sendEventBody),

  route('post', '/alarm-rules', manage, created(({ ctx, caller, body }) => createAlarmRule(ctx, caller, body))),
  route('get', '/alarm-rules', read, ok(({ ctx, caller, query }) => listAlarmRules(ctx, caller, query))),
  route('get', '/alarm-rules/:id', read, ok(({ ctx, caller, text }) => getAlarmRule(ctx, caller, text('id')))),
  route('patch', '/alarm-rules/:id', manage, ok(({ ctx, caller, text, body }) => changeAlarmRule(ctx, caller, text('id'), body))),
  route('delete', '/alarm-rules/:id', manage, gone(({ ctx, caller, text }) => removeAlarmRule(ctx, caller, text('id')))),

  route('get', '/alarms', read, ok(({ ctx, caller, query }) => listAlarms(ctx, caller, query))),
  route('get', '/alarms/:id', read, ok(({ ctx, caller, text }) => getAlarm(ctx, caller, text('id')))),
  route('post', '/alarms/:id/note', command, ok(({ ctx, caller, text, body }) => noteAlarm(ctx, caller, text('id'), body))),
  route('post', '/alarms/:id/clear', command, ok(({ ctx, caller, text, body }) => clearAlarm(ctx, caller, text('id'), body))),

  route('get', '/triggers', ['read', 'trigger'], ok(({ ctx, caller, query }) => listTriggers(ctx, caller, query))),
  route('get', '/triggers/:id', ['read', 'trigger'], ok(({ ctx, caller, text }) => getTrigger(ctx, caller, text('id')))),

  route('post', '/commands', command, created(({ ctx, caller, body }) => issueCommand(ctx, caller, body))),
  route('get', '/commands', read, ok(({ ctx, caller, query }) => listCommands(ctx, caller, query))),
  route('get', '/commands/:id', read, ok(({ ctx, caller, text }) => getCommand(ctx, caller, text('id')))),
  route('get', '/commands/:id/receipts', read, ok(({ ctx, caller, text, query }) => listReceipts(ctx, caller, text('id'), query))),
  route('post', '/commands/:id/cancel', command, ok(({ ctx, caller, text }) => cancelCommand(ctx, caller, text('id')))),
];

function viewCaller({ kind, id, name, scopes, projectId }: Caller) {
  return { type: kind, id, name, scopes: [...scopes], project_id: projectId };
}

import type { Migration } from 'kysely/migration';
import * as initial from './0001-initial.ts';
import * as eventsAndWebhooks from './0002-events-and-webhooks.ts';
import * as alarmEvents from './0003-alarm-events.ts';
import * as conditionsOnCalls from './0004-conditions-on-calls.ts';
import * as webhookHealth from './0005-webhook-health.ts';
import * as alarmEnds from './0006-alarm-ends.ts';
import * as online from './0007-online.ts';
import * as namesAndOrphans from './0008-names-and-orphans.ts';

/** Every migration, in order of name. Once released, a migration is never edited. */
export const migrations: Record<string, Migration> = {
  '0001-initial': initial,
  '0002-events-and-webhooks': eventsAndWebhooks,
  '0003-alarm-events': alarmEvents,
  '0004-conditions-on-calls': conditionsOnCalls,
  '0005-webhook-health': webhookHealth,
  '0006-alarm-ends': alarmEnds,
  '0007-online': online,
  '0008-names-and-orphans': namesAndOrphans,
};

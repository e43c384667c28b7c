/** Tries an action out as a trigger would, from the console or a script with a management key. */

import { Fault } from '../domain/fault.ts';
import { isMembers } from '../domain/json.ts';
import { callOfMembers } from '../domain/trigger/call.ts';
import { fireTrigger } from '../domain/trigger/trigger.ts';
import { signalOf } from './request.ts';
import type { Answer, RouteCall } from './route.ts';

/** The body is that of a trigger without its event_id: sensor_data, payload, dry_run, wait, quorum. */
export async function testAction({ ctx, caller, request, text, body, query }: RouteCall): Promise<Answer> {
  const members = body ?? {};
  if (!isMembers(members)) throw new Fault('bad_request', 'the body must be an object');
  const { call, options } = callOfMembers(
    { ...members, event_id: text('event_id') },
    query as Record<string, string>,
  );
  const { answer } = await fireTrigger(
    ctx,
    {
      projectId: caller.projectId,
      keyId: caller.kind === 'key' ? caller.id : null,
      linkId: null,
      eventIds: caller.eventIds,
      address: caller.address,
      userAgent: request.get('user-agent') ?? null,
    },
    { ...options, call, source: 'test', idempotency: null, signalOf: () => signalOf(request) },
  );
  return { status: 200, body: answer };
}

/** An event of the server that is written down in the commit of what it is about. */
import type { Context } from '../context.ts';
import type { Outbox } from '../delivery/outbox.ts';
import type { EventWithBody, Origin } from '../event/event.ts';
import { payloadOfSystem, type SystemEventType } from '../fact.ts';
import { newId } from '../id.ts';
import { receiversOf } from '../webhook/ready-webhook.ts';
import type { Known } from './known.ts';

/** Adds it to the outbox where a webhook asks for it. */
export function addServerEvent(
  ctx: Pick<Context, 'now'>,
  outbox: Outbox,
  { webhooks }: Known,
  said: { type: SystemEventType; projectId: number; origin: Origin; data: object },
): void {
  const at = ctx.now();
  const { type, projectId, origin, data } = said;
  const payload = payloadOfSystem(data, origin.device, at);
  const body = Buffer.from(JSON.stringify(payload));
  const event: EventWithBody = {
    id: newId(at),
    projectId,
    kind: 'system',
    type,
    label: null,
    deviceId: origin.device?.id ?? null,
    origin,
    mediaType: 'application/json',
    body,
    bodyBytes: body.length,
    problem: null,
    at,
  };
  const receivers = receiversOf(webhooks, event, () => payload);
  if (receivers.length > 0) outbox.add(event, receivers);
}

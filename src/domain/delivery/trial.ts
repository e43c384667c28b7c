/** A test of a webhook: one request at once, for a person who waits for what comes of it. */

import { z } from 'zod';
import { insertWebhookLogs } from '../../store/webhook-log.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { eventKinds, type StoredEvent } from '../event/event.ts';
import { originOf, senderOf } from '../event/origin.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { idSchema, nameSchema, parseInput } from '../input.ts';
import { readyWebhook } from '../webhook/ready-webhook.ts';
import { requireWebhook } from '../webhook/webhook.ts';
import { isDelivered, type Outcome, type OutgoingRequest } from './attempt.ts';
import { requestOf } from './request.ts';

const messageMax = 500;

const sampleSchema = z.strictObject({
  kind: z.enum(eventKinds).default('event'),
  type: nameSchema.optional(),
  label: nameSchema.optional(),
  /** What was said; for bulk data a text. */
  data: z.json().optional(),
  device_id: idSchema.optional(),
});

/**
 * Sends a sample event at once, whether the webhook is switched on or not, and answers what came of it. Nothing is
 * stored but a line in the webhook's log, and nothing is tried again.
 */
export async function testWebhook(ctx: Context, caller: Caller, id: string, input: unknown) {
  const given = parseInput(sampleSchema, input ?? {});
  const webhook = readyWebhook(ctx, await requireWebhook(ctx.db, caller, id));
  const event = await sampleEvent(ctx, caller, given);
  const deliveryId = newId(ctx.now());
  let request: OutgoingRequest | null = null;
  let outcome: Outcome = {
    status: null,
    retryAfterMs: null,
    error: null,
    remark: null,
    answer: '',
    durationMs: 0,
  };
  try {
    request = await requestOf(ctx, webhook, event, deliveryId);
    outcome = await ctx.live.outbound.post(request);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    outcome.error = `nothing was sent: ${error.message}`;
  }
  const delivered = isDelivered(outcome);
  const problem = outcome.error ?? `the receiver answered ${outcome.status}`;
  await insertWebhookLogs(ctx.db, [
    {
      id: newId(ctx.now()),
      projectId: webhook.projectId,
      webhookId: id,
      deliveryId: null,
      level: delivered ? 'INFO' : 'ERROR',
      message: `test: ${delivered ? `delivered: ${outcome.status}` : problem}`.slice(0, messageMax),
      attempt: null,
      status: outcome.status,
      durationMs: Math.round(outcome.durationMs),
      answer: outcome.answer,
      at: ctx.now(),
    },
  ]);
  return {
    delivered,
    status: outcome.status,
    error: delivered ? null : problem,
    duration_ms: Math.round(outcome.durationMs),
    answer: outcome.answer,
    webhook_id: id,
    delivery_id: deliveryId,
    body: typeof request?.body === 'string' ? request.body : null,
  };
}

async function sampleEvent(
  ctx: Context,
  caller: Caller,
  given: z.output<typeof sampleSchema>,
): Promise<StoredEvent> {
  const { kind, device_id } = given;
  const isBytes = kind === 'bulk';
  const data = given.data ?? { message: 'This is a test.' };
  const body = Buffer.from(isBytes && typeof data === 'string' ? data : JSON.stringify(data));
  const mediaType = isBytes ? 'application/octet-stream' : 'application/json';
  const origin =
    device_id === undefined
      ? {}
      : await originOf(ctx, { ...(await senderOf(ctx, caller, device_id)), key: undefined });
  return {
    id: newId(ctx.now()),
    projectId: caller.projectId,
    kind,
    type: given.type ?? (isBytes ? null : 'test'),
    label: given.label ?? (isBytes ? 'test' : null),
    deviceId: device_id ?? null,
    origin,
    mediaType,
    body,
    bodyBytes: body.length,
    problem: null,
    at: ctx.now(),
  };
}

/** A test of a webhook: one request at once, for a person who waits for what comes of it. */

import { updateWebhook } from '../../store/webhook.ts';
import { insertWebhookLogs } from '../../store/webhook-log.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { parseInput } from '../input.ts';
import { healthy } from '../webhook/health.ts';
import { forgetWebhooks, readyWebhook } from '../webhook/ready-webhook.ts';
import { renewReceiver } from '../webhook/renew.ts';
import { requireWebhook } from '../webhook/webhook.ts';
import { isDelivered, type Outcome, type OutgoingRequest, problemOf } from './attempt.ts';
import { requestOf } from './request.ts';
import { sampleEvent, sampleSchema } from './sample.ts';

const messageMax = 500;

/**
 * Sends a sample event at once, whether the webhook is switched on or not, and answers what came of it. Nothing is
 * stored but a line in the webhook's log, and nothing is tried again. One that is delivered is a success of the webhook.
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
    isOurs: true,
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
  const problem = problemOf(outcome);
  if (delivered) {
    // It works: what it did before is over, and what waits need wait no longer.
    await updateWebhook(ctx.db, id, { ...healthy, lastSuccessAt: ctx.now() });
    forgetWebhooks(ctx, webhook.projectId);
    await renewReceiver(ctx, id);
  }
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

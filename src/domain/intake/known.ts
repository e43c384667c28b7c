/** What events of a project are held against: its webhooks, alarm rules and device types, from the cache. */
import type { AlarmRule } from '../../store/alarm-rule.ts';
import { readyRules } from '../alarm/alarm-rule.ts';
import type { Context } from '../context.ts';
import { type ReadyType, readyTypes } from '../device/device-type.ts';
import { type ReadyWebhook, readyWebhooks } from '../webhook/ready-webhook.ts';

export type Known = {
  webhooks: ReadonlyMap<string, ReadyWebhook>;
  rules: readonly AlarmRule[];
  types: ReadonlyMap<string, ReadyType>;
};

export async function knownOf(
  ctx: Pick<Context, 'db' | 'cache' | 'seal'>,
  projectId: number,
): Promise<Known> {
  return {
    webhooks: await readyWebhooks(ctx, projectId),
    rules: await readyRules(ctx, projectId),
    types: await readyTypes(ctx, projectId),
  };
}

/** A webhook ready for use: secrets opened, templates parsed. Kept in the cache for a second, like everything there. */

import { fromJson } from '../../store/columns.ts';
import type { Row } from '../../store/schema.ts';
import { listWebhooksOf } from '../../store/webhook.ts';
import type { Context } from '../context.ts';
import type { StoredEvent } from '../event/event.ts';
import type { Template } from '../template.ts';
import { filterableOf, passesFilter, type WebhookFilter } from './filter.ts';
import type { SignatureScheme } from './signature.ts';
import { parseWebhookTemplate } from './template.ts';

export const secretLabel = 'webhook secret';
export const headersLabel = 'webhook headers';
export const commandSecretLabel = 'webhook command secret';

export type ReadyWebhook = {
  id: string;
  projectId: number;
  moduleId: string | null;
  name: string;
  url: string;
  scheme: SignatureScheme;
  /** Newest first; after a rotation the old one too, until its overlap ends. */
  secretsAt: (now: number, forCommand: boolean) => string[];
  headers: readonly (readonly [name: string, value: Template])[];
  body: Template | null;
  /** Whether a header looks into the event. */
  isTemplated: boolean;
  commandUrl: string | null;
  filter: WebhookFilter;
  ordered: boolean;
  enabled: boolean;
  failingSince: number | null;
};

/** Every webhook of a project by id, the ones that are switched off too. */
export async function readyWebhooks(
  ctx: Pick<Context, 'db' | 'cache' | 'seal'>,
  projectId: number,
): Promise<ReadonlyMap<string, ReadyWebhook>> {
  return ctx.cache.get(cacheName(projectId), async () => {
    const rows = await listWebhooksOf(ctx.db, projectId);
    return new Map(rows.map((row) => [row.id, readyWebhook(ctx, row)]));
  });
}

/** After what was written outside of a change to the set-up: health, and what follows from it. */
export function forgetWebhooks(ctx: Pick<Context, 'cache'>, projectId: number): void {
  ctx.cache.forget(cacheName(projectId));
}

const cacheName = (projectId: number) => `webhooks ${projectId}`;

export function readyWebhook(ctx: Pick<Context, 'seal'>, row: Row<'webhooks'>): ReadyWebhook {
  const { seal } = ctx;
  const secret = row.secret_sealed === null ? null : seal.open(secretLabel, row.secret_sealed);
  const old = row.old_secret_sealed === null ? null : seal.open(secretLabel, row.old_secret_sealed);
  const oldUntil = row.old_secret_until ?? 0;
  const commandSecret =
    row.command_secret_sealed === null ? null : seal.open(commandSecretLabel, row.command_secret_sealed);
  const headers = Object.entries(
    fromJson<Record<string, string>>(seal.open(headersLabel, row.headers_sealed)),
  );
  const templates = headers.map(([name, value]) => [name, parseWebhookTemplate(value)] as const);
  return {
    id: row.id,
    projectId: row.project_id,
    moduleId: row.module_id,
    name: row.name,
    url: row.url,
    scheme: row.signature as SignatureScheme,
    secretsAt: (now, forCommand) => {
      if (forCommand && commandSecret !== null) return [commandSecret];
      const kept = old !== null && oldUntil > now ? [old] : [];
      return secret === null ? kept : [secret, ...kept];
    },
    headers: templates,
    body: row.body === null ? null : parseWebhookTemplate(row.body),
    isTemplated: templates.some(([, template]) => template.some((part) => typeof part !== 'string')),
    commandUrl: row.command_url,
    filter: fromJson<WebhookFilter>(row.filter_json),
    ordered: row.ordered === 1,
    enabled: row.enabled === 1,
    failingSince: row.failing_since,
  };
}

/** The webhooks an event goes to: those that were named, and those whose filter lets it pass. */
export function receiversOf(
  webhooks: ReadonlyMap<string, ReadyWebhook>,
  event: StoredEvent,
  payload: () => unknown,
  named: readonly string[] = [],
): ReadyWebhook[] {
  const about = filterableOf(event, payload);
  return [...webhooks.values()].filter(
    (webhook) => webhook.enabled && (named.includes(webhook.id) || passesFilter(webhook.filter, about)),
  );
}

/** A webhook ready for use: secrets opened, templates parsed. Kept in the cache for a second, like everything there. */

import { selectProjectWebhooks, type Webhook } from '../../store/webhook.ts';
import type { Context } from '../context.ts';
import type { StoredEvent } from '../event/event.ts';
import { Fault } from '../fault.ts';
import { hasTemplate, type Template } from '../template.ts';
import { parseUrlTemplate } from '../url.ts';
import { filterableOf, passesFilter, type WebhookFilter } from './filter.ts';
import { type PlacedTemplate, placeTemplate } from './place.ts';
import type { SignatureScheme } from './signature.ts';
import { commandSecretLabel, openOldSecrets, secretLabel } from './signing-secret.ts';
import { type BodyTemplate, bodyTemplate, parseWebhookTemplate } from './template.ts';

export const headersLabel = 'webhook headers';

export type ReadyWebhook = {
  id: string;
  projectId: number;
  moduleId: string | null;
  name: string;
  url: WebhookUrl;
  scheme: SignatureScheme;
  /** Newest first; those that were replaced too, until their overlap ends. */
  secretsAt: (now: number, forCommand: boolean) => string[];
  headers: readonly (readonly [name: string, value: PlacedTemplate])[];
  body: BodyTemplate | null;
  /** The names at the beginning of every path in the templates of headers, body and URLs. */
  looksAt: ReadonlySet<string>;
  commandUrl: WebhookUrl | null;
  filter: WebhookFilter;
  ordered: boolean;
  enabled: boolean;
  failingSince: number | null;
};

/** As it was configured, and its template where it has one. */
export type WebhookUrl = { text: string; template: Template | null };

/** Every webhook of a project by id, the ones that are switched off too. */
export async function readyWebhooks(
  ctx: Pick<Context, 'db' | 'cache' | 'seal'>,
  projectId: number,
): Promise<ReadonlyMap<string, ReadyWebhook>> {
  return ctx.cache.get(cacheName(projectId), async () => {
    const webhooks = await selectProjectWebhooks(ctx.db, projectId);
    return new Map(webhooks.map((webhook) => [webhook.id, readyWebhook(ctx, webhook)]));
  });
}

/** After what was written outside of a change to the set-up: health, and what follows from it. */
export function forgetWebhooks(ctx: Pick<Context, 'cache'>, projectId: number): void {
  ctx.cache.forget(cacheName(projectId));
}

const cacheName = (projectId: number) => `webhooks ${projectId}`;

export function readyWebhook(ctx: Pick<Context, 'seal'>, webhook: Webhook): ReadyWebhook {
  const open = (label: string, sealed: string | null) =>
    sealed === null ? null : ctx.seal.open(label, sealed);
  const secret = open(secretLabel, webhook.secretSealed);
  const old = openOldSecrets(ctx, webhook);
  const commandSecret = open(commandSecretLabel, webhook.commandSecretSealed);
  const headers = Object.entries(headersOf(ctx, webhook)).map(
    ([name, value]) => [name, parseWebhookTemplate(value)] as const,
  );
  const body = webhook.body === null ? null : parseWebhookTemplate(webhook.body);
  const url = readyUrl(webhook.url);
  const commandUrl = webhook.commandUrl === null ? null : readyUrl(webhook.commandUrl);
  return {
    id: webhook.id,
    projectId: webhook.projectId,
    moduleId: webhook.moduleId,
    name: webhook.name,
    url,
    scheme: webhook.signature,
    secretsAt: (now, forCommand) => {
      if (forCommand && commandSecret !== null) return [commandSecret];
      const kept = old.filter(({ until }) => until > now).map((each) => each.secret);
      return secret === null ? kept : [secret, ...kept];
    },
    headers: headers.map(([name, template]) => [name, placeTemplate(template, 'text')]),
    body: body && bodyTemplate(body),
    looksAt: namesIn([
      ...headers.map(([, template]) => template),
      ...[body, url.template, commandUrl?.template].filter((template) => template != null),
    ]),
    commandUrl,
    filter: webhook.filter,
    ordered: webhook.ordered,
    enabled: webhook.enabled,
    failingSince: webhook.failingSince,
  };
}

/** One whose template is none of ours is as old as the days when URLs had none: it is sent as it is. */
function readyUrl(text: string): WebhookUrl {
  try {
    return { text, template: hasTemplate(text) ? parseUrlTemplate(text) : null };
  } catch (error) {
    if (error instanceof Fault) return { text, template: null };
    throw error;
  }
}

function namesIn(templates: readonly Template[]): ReadonlySet<string> {
  const placeholders = templates.flat().filter((part) => typeof part !== 'string');
  return new Set(placeholders.map(({ path: [first] }) => String(first)));
}

export function headersOf(
  { seal }: Pick<Context, 'seal'>,
  { headersSealed }: Pick<Webhook, 'headersSealed'>,
): Record<string, string> {
  return JSON.parse(seal.open(headersLabel, headersSealed));
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

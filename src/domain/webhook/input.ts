/** What a webhook may be made of: checked before it is saved, so that nothing is saved that could never be sent. */

import { z } from 'zod';
import type { Db } from '../../store/schema.ts';
import { requireAlarmRules } from '../alarm/alarm-rule.ts';
import { requireTarget } from '../device/device.ts';
import { requireTypeIds } from '../device/device-type.ts';
import { headerValueOf } from '../escape.ts';
import { Fault } from '../fault.ts';
import { metadataSchema, nameSchema } from '../input.ts';
import { hasTemplate } from '../template.ts';
import { parseUrlTemplate, renderUrl } from '../url.ts';
import { filterSchema, type WebhookFilter } from './filter.ts';
import { type SignatureScheme, secretProblem, signatureSchemes } from './signature.ts';
import { jsonType, mediaTypeOf, parseWebhookTemplate, tryBody } from './template.ts';

const urlMax = 2_048;
const headersMax = 50;
const secretMax = 200;

/** A token of RFC 9110 §5.6.2. */
const headerNamePattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/;
/** Ours to write, or the connection's. */
const reservedHeaders = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'upgrade',
  'te',
  'trailer',
  'expect',
  'user-agent',
  'webhook-id',
  'webhook-timestamp',
  'webhook-signature',
  'x-mode-signature',
  'biotz-iot-signature',
]);

/** One with templates is looked at by `requireUsable`. */
export const urlSchema = z
  .string()
  .max(urlMax)
  .superRefine((text, issue) => {
    const problem = hasTemplate(text) ? null : urlProblem(text);
    if (problem !== null) issue.addIssue({ code: 'custom', message: problem });
  });

function urlProblem(text: string): string | null {
  // It is signed to the letter by one of the schemes: what a parser would mend must not be in it.
  if (/\s/.test(text)) return 'must hold no spaces';
  if (!URL.canParse(text)) return 'must be an http or https URL';
  const { protocol, username, password } = new URL(text);
  if (protocol !== 'http:' && protocol !== 'https:') return 'must be an http or https URL';
  return username || password ? 'must hold no user and password: send them in a header' : null;
}

export const headersSchema = z
  .record(
    z
      .string()
      .regex(headerNamePattern, 'is not the name of a header')
      .refine((name) => !reservedHeaders.has(name.toLowerCase()), 'is a header of ours or of the connection'),
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses.
    z.string().regex(/^[^\u0000-\u0008\u000a-\u001f\u007f]*$/, 'must hold no line breaks'),
  )
  .refine((headers) => Object.keys(headers).length <= headersMax, `at most ${headersMax} headers`)
  .refine(
    (headers) =>
      new Set(Object.keys(headers).map((name) => name.toLowerCase())).size === Object.keys(headers).length,
    'a header stands twice',
  );

/** As MODE names its modules: lower-case letters and digits, `-` and `_` between them. */
const moduleIdSchema = z
  .string()
  .min(3)
  .max(100)
  .regex(/^[a-z0-9](?:[-_]?[a-z0-9])+$/, 'lower-case letters and digits, with - and _ between them');

/** An empty template is none. */
const bodySchema = z
  .string()
  .transform((text) => (text === '' ? null : text))
  .nullish();

export const webhookSchema = z.strictObject({
  module_id: moduleIdSchema.nullish(),
  name: nameSchema,
  description: z.string().max(2_000).default(''),
  url: urlSchema,
  signature: z.enum(signatureSchemes).default('standard'),
  secret: z.string().max(secretMax).optional(),
  headers: headersSchema.default({}),
  body: bodySchema,
  command_url: urlSchema.nullish(),
  command_secret: z.string().max(secretMax).optional(),
  filter: filterSchema.default({}),
  ordered: z.boolean().default(false),
  enabled: z.boolean().default(true),
  metadata: metadataSchema.default({}),
});
export type WebhookInput = z.output<typeof webhookSchema>;

export const changeSchema = z.strictObject({
  module_id: moduleIdSchema.nullish(),
  name: webhookSchema.shape.name.optional(),
  description: z.string().max(2_000).optional(),
  url: urlSchema.optional(),
  signature: z.enum(signatureSchemes).optional(),
  secret: z.string().max(secretMax).optional(),
  headers: headersSchema.optional(),
  body: bodySchema,
  command_url: urlSchema.nullish(),
  command_secret: z.string().max(secretMax).optional(),
  filter: filterSchema.optional(),
  ordered: z.boolean().optional(),
  enabled: z.boolean().optional(),
  metadata: metadataSchema.optional(),
});
export type WebhookChange = z.output<typeof changeSchema>;

/** What of a webhook decides whether it can be sent. A body is looked at with the headers it is sent with. */
export type Sendable = {
  signature: SignatureScheme;
  url: string;
  command_url?: string | null | undefined;
  secret?: string | undefined;
  command_secret?: string | undefined;
  headers?: Record<string, string> | undefined;
  body?: string | null | undefined;
};

/**
 * Throws for what could never be sent: broken templates and such as give no good request on a sample (`bad_template`),
 * secrets that don't fit the scheme, Biotz over plain HTTP.
 */
export function requireUsable(given: Sendable): void {
  const { signature, headers = {}, body } = given;
  for (const [name, value] of Object.entries(headers))
    at(`headers.${name}`, () => parseWebhookTemplate(value));
  if (body) at('body', () => requireBody(body, headers));
  for (const [member, secret] of [
    ['secret', given.secret],
    ['command_secret', given.command_secret],
  ] as const) {
    if (secret === undefined) continue;
    if (signature === 'none') throw new Fault('bad_request', `${member}: nothing is signed with it`);
    const problem = secretProblem(signature, secret);
    if (problem !== null) throw new Fault('bad_request', `${member}: ${problem}`);
  }
  for (const member of ['url', 'command_url'] as const) {
    const url = given[member];
    if (!url) continue;
    if (hasTemplate(url)) at(member, () => requireUrlTemplate(url));
    if (signature === 'biotz' && new URL(url).protocol !== 'https:')
      throw new Fault('bad_request', 'url: the signature biotz is for https alone');
  }
}

const unique = (names: readonly string[]) => [...new Set(names)];

/** Names the member in whatever `look` finds wrong with it. */
function at(member: string, look: () => void): void {
  try {
    look();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault(error.code, `${member}: ${error.message}`, {
      problems: [{ path: member, detail: error.message }],
    });
  }
}

/** What is announced by a template is known only when it is sent. */
function requireBody(body: string, headers: Record<string, string>): void {
  const template = parseWebhookTemplate(body);
  const name = Object.keys(headers).find((each) => each.toLowerCase() === 'content-type');
  const announced = headerValueOf(headers[name ?? ''] ?? '') || jsonType;
  if (!hasTemplate(announced)) tryBody(template, mediaTypeOf(announced));
}

function requireUrlTemplate(url: string): void {
  const template = parseUrlTemplate(url);
  const literal = template.filter((part) => typeof part === 'string').join('');
  const problem = urlProblem(literal) ?? urlProblem(renderUrl(template, () => 'x'));
  if (problem !== null) throw new Fault('bad_template', problem);
}

/**
 * The filter as it is kept: by ids, so that a new name makes no difference. Throws `unknown_target` unless everything
 * that it names is the project's. What it has named before may be gone by now, and does no harm.
 */
export async function requireFilter(
  db: Db,
  projectId: number,
  filter: WebhookFilter,
  before: WebhookFilter = {},
): Promise<WebhookFilter> {
  const fresh = <T>(names: readonly T[] = [], known: readonly T[] = []) =>
    names.filter((name) => !known.includes(name));
  await requireTarget(db, projectId, { devices: fresh(filter.devices, before.devices) });
  await requireTarget(db, projectId, { groups: fresh(filter.groups, before.groups) });
  const typeIds = await requireTypeIds(db, projectId, fresh(filter.device_types, before.device_types));
  await requireAlarmRules(db, projectId, fresh(filter.alarm_rules, before.alarm_rules));
  const { device_types: types } = filter;
  return types ? { ...filter, device_types: unique(types.map((name) => typeIds.get(name) ?? name)) } : filter;
}

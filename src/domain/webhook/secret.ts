/** The secrets of a webhook: shown again, and exchanged without a moment in which the receiver refuses us. */
import { z } from 'zod';
import { updateWebhook, type Webhook } from '../../store/webhook.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { instant, parseInput } from '../input.ts';
import { makeWebhookSecret, secretProblem } from './signature.ts';
import {
  commandSecretLabel,
  openOldSecrets,
  overlapSecondsDefault,
  replaceSecret,
  secretLabel,
} from './signing-secret.ts';
import { requireWebhook } from './webhook.ts';

const overlapSecondsMax = 30 * 24 * 60 * 60;

const rotationSchema = z.strictObject({
  /** A new one is made unless it is given. */
  secret: z.string().max(200).optional(),
  overlap_seconds: z.int().min(0).max(overlapSecondsMax).default(overlapSecondsDefault),
});

function viewSecrets(ctx: Context, webhook: Webhook) {
  const now = ctx.now();
  const old = openOldSecrets(ctx, webhook)
    .filter(({ until }) => until > now)
    .map(({ secret, until }) => ({ secret, until: instant(until) }));
  const open = (label: string, sealed: string | null) =>
    sealed === null ? null : ctx.seal.open(label, sealed);
  return {
    id: webhook.id,
    secret: open(secretLabel, webhook.secretSealed),
    old_secret: old[0]?.secret ?? null,
    old_secret_until: old[0]?.until ?? null,
    old_secrets: old,
    command_secret: open(commandSecretLabel, webhook.commandSecretSealed),
  };
}

/** Shows the secrets; that somebody looked is written down. */
export async function revealSecret(ctx: Context, caller: Caller, id: string) {
  return makeChange(ctx, caller, async (tx, note) => {
    const webhook = await requireWebhook(tx, caller, id);
    await note('webhook.reveal', { kind: 'webhook', id }, { name: webhook.name });
    return viewSecrets(ctx, webhook);
  });
}

/**
 * Gives the webhook a new secret. Until the overlap ends the old one signs too, as do those before it until theirs ends,
 * where the scheme has room for several signatures (`standard`, `biotz`); with `mode` the new one signs alone.
 */
export async function rotateSecret(ctx: Context, caller: Caller, id: string, input: unknown) {
  const given = parseInput(rotationSchema, input ?? {});
  return makeChange(ctx, caller, async (tx, note) => {
    const webhook = await requireWebhook(tx, caller, id);
    const { signature } = webhook;
    if (signature === 'none') throw new Fault('conflict', 'this webhook has no signature');
    const problem = given.secret === undefined ? null : secretProblem(signature, given.secret);
    if (problem !== null) throw new Fault('bad_request', `secret: ${problem}`);
    const secret = given.secret ?? makeWebhookSecret(signature);
    const change = replaceSecret(ctx, webhook, secret, given.overlap_seconds);
    await updateWebhook(tx, id, change);
    await note('webhook.rotate_secret', { kind: 'webhook', id }, { overlap_seconds: given.overlap_seconds });
    return viewSecrets(ctx, { ...webhook, ...change });
  });
}

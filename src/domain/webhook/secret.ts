/** The secrets of a webhook: shown again, and exchanged without a moment in which the receiver refuses us. */
import { z } from 'zod';
import { updateWebhook, type Webhook } from '../../store/webhook.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { instant, parseInput } from '../input.ts';
import { commandSecretLabel, secretLabel } from './ready-webhook.ts';
import { makeWebhookSecret, secretProblem } from './signature.ts';
import { requireWebhook } from './webhook.ts';

const overlapSecondsDefault = 24 * 60 * 60;
const overlapSecondsMax = 30 * 24 * 60 * 60;

const rotationSchema = z.strictObject({
  /** A new one is made unless it is given. */
  secret: z.string().max(200).optional(),
  overlap_seconds: z.int().min(0).max(overlapSecondsMax).default(overlapSecondsDefault),
});

function viewSecrets(ctx: Context, webhook: Webhook) {
  const { oldSecretUntil } = webhook;
  const isOldGood = oldSecretUntil !== null && oldSecretUntil > ctx.now();
  const open = (label: string, sealed: string | null) =>
    sealed === null ? null : ctx.seal.open(label, sealed);
  return {
    id: webhook.id,
    secret: open(secretLabel, webhook.secretSealed),
    old_secret: isOldGood ? open(secretLabel, webhook.oldSecretSealed) : null,
    old_secret_until: isOldGood ? instant(oldSecretUntil) : null,
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
 * Gives the webhook a new secret. Until the overlap ends the old one signs too, where the scheme has room for two
 * signatures (`standard`, `biotz`); with `mode` the new one signs alone from now on.
 */
export async function rotateSecret(ctx: Context, caller: Caller, id: string, input: unknown) {
  const given = parseInput(rotationSchema, input ?? {});
  return makeChange(ctx, caller, async (tx, note) => {
    const webhook = await requireWebhook(tx, caller, id);
    const { signature } = webhook;
    if (signature === 'none') throw new Fault('conflict', 'this webhook has no signature');
    const problem = given.secret === undefined ? null : secretProblem(signature, given.secret);
    if (problem !== null) throw new Fault('bad_request', `secret: ${problem}`);
    const change = {
      secretSealed: ctx.seal.close(secretLabel, given.secret ?? makeWebhookSecret(signature)),
      oldSecretSealed: webhook.secretSealed,
      oldSecretUntil: ctx.now() + given.overlap_seconds * 1_000,
    };
    await updateWebhook(tx, id, change);
    await note('webhook.rotate_secret', { kind: 'webhook', id }, { overlap_seconds: given.overlap_seconds });
    return viewSecrets(ctx, { ...webhook, ...change });
  });
}

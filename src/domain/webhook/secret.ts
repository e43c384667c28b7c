/** The secrets of a webhook: shown again, and exchanged without a moment in which the receiver refuses us. */
import { z } from 'zod';
import type { Row } from '../../store/schema.ts';
import { updateWebhook } from '../../store/webhook.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { instant, parseInput } from '../input.ts';
import { commandSecretLabel, secretLabel } from './ready-webhook.ts';
import { makeWebhookSecret, type SignatureScheme, secretProblem } from './signature.ts';
import { requireWebhook } from './webhook.ts';

const overlapSecondsDefault = 24 * 60 * 60;
const overlapSecondsMax = 30 * 24 * 60 * 60;

const rotationSchema = z.strictObject({
  /** A new one is made unless it is given. */
  secret: z.string().max(200).optional(),
  overlap_seconds: z.int().min(0).max(overlapSecondsMax).default(overlapSecondsDefault),
});

function viewSecrets(ctx: Context, row: Row<'webhooks'>) {
  const isOldGood = row.old_secret_until !== null && row.old_secret_until > ctx.now();
  const open = (label: string, sealed: string | null) =>
    sealed === null ? null : ctx.seal.open(label, sealed);
  return {
    id: row.id,
    secret: open(secretLabel, row.secret_sealed),
    old_secret: isOldGood ? open(secretLabel, row.old_secret_sealed) : null,
    old_secret_until: isOldGood ? instant(row.old_secret_until) : null,
    command_secret: open(commandSecretLabel, row.command_secret_sealed),
  };
}

/** Shows the secrets; that somebody looked is written down. */
export async function revealSecret(ctx: Context, caller: Caller, id: string) {
  return makeChange(ctx, caller, async (tx, note) => {
    const row = await requireWebhook(tx, caller, id);
    await note('webhook.reveal', { kind: 'webhook', id }, { name: row.name });
    return viewSecrets(ctx, row);
  });
}

/**
 * Gives the webhook a new secret. Until the overlap ends the old one signs too, where the scheme has room for two
 * signatures (`standard`, `biotz`); with `mode` the new one signs alone from now on.
 */
export async function rotateSecret(ctx: Context, caller: Caller, id: string, input: unknown) {
  const given = parseInput(rotationSchema, input ?? {});
  return makeChange(ctx, caller, async (tx, note) => {
    const row = await requireWebhook(tx, caller, id);
    const scheme = row.signature as SignatureScheme;
    if (scheme === 'none') throw new Fault('conflict', 'this webhook has no signature');
    const problem = given.secret === undefined ? null : secretProblem(scheme, given.secret);
    if (problem !== null) throw new Fault('bad_request', `secret: ${problem}`);
    const change = {
      secret_sealed: ctx.seal.close(secretLabel, given.secret ?? makeWebhookSecret(scheme)),
      old_secret_sealed: row.secret_sealed,
      old_secret_until: ctx.now() + given.overlap_seconds * 1_000,
    };
    await updateWebhook(tx, id, change);
    await note('webhook.rotate_secret', { kind: 'webhook', id }, { overlap_seconds: given.overlap_seconds });
    return viewSecrets(ctx, { ...row, ...change });
  });
}

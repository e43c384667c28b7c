/** The secrets that sign. One that is replaced stays good until its overlap ends: receivers change over when they can. */
import type { Change } from '../../store/columns.ts';
import type { OldSecret, Webhook } from '../../store/webhook.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import type { WebhookChange } from './input.ts';
import { makeWebhookSecret, secretProblem } from './signature.ts';

export const secretLabel = 'webhook secret';
export const commandSecretLabel = 'webhook command secret';
export const overlapSecondsDefault = 24 * 60 * 60;
/** Every one of them signs every request. */
const oldSecretsMax = 10;

type Secrets = Pick<Webhook, 'secretSealed' | 'oldSecrets'>;

/** The old secrets, newest first, with their ends. */
export function openOldSecrets(
  { seal }: Pick<Context, 'seal'>,
  { oldSecrets }: Pick<Webhook, 'oldSecrets'>,
): { secret: string; until: number }[] {
  return oldSecrets.map(({ sealed, until }) => ({ secret: seal.open(secretLabel, sealed), until }));
}

/**
 * Puts a secret in place of the one before, which stays good for the overlap, as do those before it for what is left of
 * theirs. Throws `conflict` when too many would be good.
 */
export function replaceSecret(
  ctx: Pick<Context, 'seal' | 'now'>,
  { secretSealed, oldSecrets }: Secrets,
  secret: string,
  overlapSeconds: number,
): Secrets {
  const now = ctx.now();
  const before: OldSecret[] =
    secretSealed === null ? [] : [{ sealed: secretSealed, until: now + overlapSeconds * 1_000 }];
  const good = [...before, ...oldSecrets].filter(
    ({ sealed, until }) => until > now && ctx.seal.open(secretLabel, sealed) !== secret,
  );
  if (good.length > oldSecretsMax)
    throw new Fault(
      'conflict',
      `${oldSecretsMax} old secrets are still good: rotate with overlap_seconds 0, or wait for one of them to end`,
    );
  return { secretSealed: ctx.seal.close(secretLabel, secret), oldSecrets: good };
}

/** What a change does to the secrets. Another scheme wants its own form: those that are there stay where they fit. */
export function secretChange(
  ctx: Pick<Context, 'seal' | 'now'>,
  webhook: Webhook,
  given: WebhookChange,
): Change<Webhook> {
  const scheme = given.signature ?? webhook.signature;
  const fits = (label: string, sealed: string | null) =>
    scheme !== 'none' && sealed !== null && secretProblem(scheme, ctx.seal.open(label, sealed)) === null;
  const change: Change<Webhook> = {};
  if (scheme !== webhook.signature) {
    const { secretSealed, oldSecrets, commandSecretSealed } = webhook;
    change.signature = scheme;
    change.secretSealed = fits(secretLabel, secretSealed) ? secretSealed : null;
    change.oldSecrets = oldSecrets.filter(({ sealed }) => fits(secretLabel, sealed));
    change.commandSecretSealed = fits(commandSecretLabel, commandSecretSealed) ? commandSecretSealed : null;
  }
  if (given.command_secret !== undefined)
    change.commandSecretSealed = ctx.seal.close(commandSecretLabel, given.command_secret);
  const { secretSealed, oldSecrets } = { ...webhook, ...change };
  if (given.secret !== undefined) {
    const secrets = { secretSealed: secretSealed ?? null, oldSecrets: oldSecrets ?? [] };
    return { ...change, ...replaceSecret(ctx, secrets, given.secret, overlapSecondsDefault) };
  }
  if (scheme !== 'none' && secretSealed === null)
    change.secretSealed = ctx.seal.close(secretLabel, makeWebhookSecret(scheme));
  return change;
}

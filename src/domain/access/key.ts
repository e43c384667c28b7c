/**
 * API keys: who may fire triggers, read, manage. A key can be narrowed to some event_ids and source addresses,
 * may end, can be switched off, and can be shown again to those who manage it.
 */
import { z } from 'zod';
import { readNetwork } from '../../network.ts';
import {
  deleteKey,
  hasKeyWithScope,
  insertKey,
  type Key,
  selectKey,
  selectKeys,
  updateKey,
} from '../../store/key.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db } from '../../store/schema.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { eventIdSchema, instant, instantSchema, nameSchema, pageSchema, parseInput } from '../input.ts';
import { makeChange } from './audit.ts';
import { type Caller, type Scope, scopes } from './caller.ts';
import { hashToken, makeToken, shownPart } from './token.ts';

const eventIdsMax = 1_000;
const allowedIpsMax = 100;
const sealLabel = 'key';

const networkSchema = z
  .string()
  .trim()
  .refine((text) => readNetwork(text) !== null, 'must be an address or a network such as 10.0.0.0/8');

const keySchema = z.strictObject({
  name: nameSchema,
  scopes: z
    .array(z.enum(scopes))
    .min(1)
    .transform((list) => [...new Set(list)]),
  event_ids: z.array(eventIdSchema).min(1).max(eventIdsMax).nullish(),
  allowed_ips: z.array(networkSchema).min(1).max(allowedIpsMax).nullish(),
  expires_at: instantSchema.nullish(),
  enabled: z.boolean().default(true),
});
const keyChangeSchema = keySchema.partial().extend({ enabled: z.boolean().optional() });

function viewKey(key: Key) {
  return {
    id: key.id,
    name: key.name,
    prefix: key.prefix,
    scopes: key.scopes,
    event_ids: key.eventIds,
    allowed_ips: key.allowedIps,
    expires_at: instant(key.expiresAt),
    enabled: key.enabled,
    last_used_at: instant(key.lastUsedAt),
    created_at: instant(key.createdAt),
  };
}

/** What is kept of a secret. */
function secretMembers(ctx: Pick<Context, 'seal'>, secret: string) {
  return {
    prefix: shownPart(secret),
    hash: hashToken(secret),
    secretSealed: ctx.seal.close(sealLabel, secret),
  };
}

/** Makes a key; the answer is the only one besides `revealKey` that holds the secret. */
export async function createKey(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(keySchema, input);
  requireMayGrant(caller, given.scopes);
  const secret = makeToken('fhk');
  const key: Key = {
    id: newId(ctx.now()),
    projectId: caller.projectId,
    name: given.name,
    ...secretMembers(ctx, secret),
    scopes: given.scopes,
    eventIds: given.event_ids ?? null,
    allowedIps: given.allowed_ips ?? null,
    expiresAt: given.expires_at ?? null,
    enabled: given.enabled,
    lastUsedAt: null,
    createdAt: ctx.now(),
  };
  await makeChange(ctx, caller, async (tx, note) => {
    await insertKey(tx, key);
    await note('key.create', { kind: 'key', id: key.id }, { name: key.name, scopes: key.scopes });
  });
  return { ...viewKey(key), key: secret };
}

export async function listKeys(ctx: Pick<Context, 'db'>, caller: Caller, input: unknown) {
  const page = await selectKeys(ctx.db, caller.projectId, pageQuery(parseInput(pageSchema, input)));
  return { ...page, items: page.items.map(viewKey) };
}

export async function getKey(ctx: Pick<Context, 'db'>, caller: Caller, id: string) {
  return viewKey(await requireKey(ctx.db, caller, id));
}

export async function changeKey(ctx: Context, caller: Caller, id: string, input: unknown) {
  const given = parseInput(keyChangeSchema, input);
  await makeChange(ctx, caller, async (tx, note) => {
    await requireKeyToManage(tx, caller, id);
    if (given.scopes) requireMayGrant(caller, given.scopes);
    await updateKey(tx, id, {
      name: given.name,
      scopes: given.scopes,
      eventIds: given.event_ids,
      allowedIps: given.allowed_ips,
      expiresAt: given.expires_at,
      enabled: given.enabled,
    });
    await note('key.change', { kind: 'key', id }, { changed: Object.keys(given) });
  });
  return getKey(ctx, caller, id);
}

/** Shows the secret again; that somebody looked is written down. */
export async function revealKey(ctx: Context, caller: Caller, id: string) {
  return makeChange(ctx, caller, async (tx, note) => {
    const key = await requireKeyToManage(tx, caller, id);
    await note('key.reveal', { kind: 'key', id }, { name: key.name });
    return { id, key: ctx.seal.open(sealLabel, key.secretSealed) };
  });
}

/** Gives the key a new secret; the old one is worth nothing from now on. */
export async function rotateKey(ctx: Context, caller: Caller, id: string) {
  const secret = makeToken('fhk');
  await makeChange(ctx, caller, async (tx, note) => {
    const key = await requireKeyToManage(tx, caller, id);
    await updateKey(tx, id, secretMembers(ctx, secret));
    await note('key.rotate', { kind: 'key', id }, { name: key.name });
  });
  return { ...(await getKey(ctx, caller, id)), key: secret };
}

export async function removeKey(ctx: Context, caller: Caller, id: string): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    const key = await requireKeyToManage(tx, caller, id);
    await deleteKey(tx, id);
    await note('key.delete', { kind: 'key', id }, { name: key.name });
  });
}

async function requireKey(db: Db, caller: Caller, id: string): Promise<Key> {
  const key = await selectKey(db, caller.projectId, id);
  if (!key) throw new Fault('not_found', 'there is no such key');
  return key;
}

/** A key that can do more than the caller must not become the caller's. */
async function requireKeyToManage(db: Db, caller: Caller, id: string): Promise<Key> {
  const key = await requireKey(db, caller, id);
  requireMayGrant(caller, key.scopes);
  return key;
}

function requireMayGrant(caller: Caller, wanted: readonly Scope[]): void {
  if (wanted.includes('admin') && !caller.scopes.has('admin')) {
    throw new Fault('not_allowed', 'only an admin key may deal with admin keys');
  }
}

/** The way in for whoever starts the server for the first time: the secret of a new admin key, or null when there is one. */
export async function createFirstKey(ctx: Context, caller: Caller): Promise<string | null> {
  if (ctx.process.adminKeyHash !== null || (await hasKeyWithScope(ctx.db, 'admin'))) return null;
  try {
    return (await createKey(ctx, caller, { name: 'First admin key', scopes: ['admin'] })).key;
  } catch (error) {
    // Another server that started at the same time was first.
    if (error instanceof Fault && error.code === 'name_taken') return null;
    throw error;
  }
}

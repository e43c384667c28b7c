/**
 * API keys: who may fire triggers, read, manage. A key can be narrowed to some event_ids and source addresses,
 * may end, can be switched off, and can be shown again to those who manage it.
 */
import { timingSafeEqual } from 'node:crypto';
import type { BlockList } from 'node:net';
import { z } from 'zod';
import { blockListOf, familyOf, readNetwork } from '../../network.ts';
import { fromJson, toJson } from '../../store/columns.ts';
import {
  deleteKey as deleteKeyRow,
  findKeyByHash,
  hasKeyWithScope,
  insertKey,
  updateKey,
} from '../../store/key.ts';
import { findOwned, listOwned } from '../../store/owned.ts';
import { pageQuery } from '../../store/page.ts';
import { findProject } from '../../store/project.ts';
import type { Db, Row } from '../../store/schema.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { eventIdSchema, instant, instantSchema, nameSchema, pageSchema, parseInput } from '../input.ts';
import { makeChange } from './audit.ts';
import { type Caller, type Scope, scopes, withImplied } from './caller.ts';
import { hashToken, isWellFormed, makeToken, shownPart } from './token.ts';

const eventIdsMax = 1_000;
const allowedIpsMax = 100;
const sealLabel = 'key';
/** The caller id of the key that FLEETHOOK_ADMIN_KEY gives. */
const environmentKeyId = 'environment';

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

function viewKey(row: Row<'keys'>) {
  return {
    id: row.id,
    name: row.name,
    prefix: row.prefix,
    scopes: fromJson<Scope[]>(row.scopes_json),
    event_ids: row.event_ids_json === null ? null : fromJson<string[]>(row.event_ids_json),
    allowed_ips: row.allowed_ips_json === null ? null : fromJson<string[]>(row.allowed_ips_json),
    expires_at: instant(row.expires_at),
    enabled: row.enabled === 1,
    last_used_at: instant(row.last_used_at),
    created_at: instant(row.created_at),
  };
}

function secretColumns(ctx: Context, secret: string) {
  return {
    prefix: shownPart(secret),
    hash: hashToken(secret),
    secret_sealed: ctx.seal.close(sealLabel, secret),
  };
}

const listOrNull = (list: string[] | null | undefined) => (list ? toJson(list) : null);

/** Makes a key; the answer is the only one besides `revealKey` that holds the secret. */
export async function createKey(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(keySchema, input);
  requireMayGrant(caller, given.scopes);
  const secret = makeToken('fhk');
  const row: Row<'keys'> = {
    id: newId(ctx.now()),
    project_id: caller.projectId,
    name: given.name,
    ...secretColumns(ctx, secret),
    scopes_json: toJson(given.scopes),
    event_ids_json: listOrNull(given.event_ids),
    allowed_ips_json: listOrNull(given.allowed_ips),
    expires_at: given.expires_at ?? null,
    enabled: given.enabled ? 1 : 0,
    last_used_at: null,
    created_at: ctx.now(),
  };
  await makeChange(ctx, caller, async (tx, note) => {
    await insertKey(tx, row);
    await note('key.create', { kind: 'key', id: row.id }, { name: row.name, scopes: given.scopes });
  });
  return { ...viewKey(row), key: secret };
}

export async function listKeys(ctx: Context, caller: Caller, input: unknown) {
  const page = await listOwned(ctx.db, 'keys', caller.projectId, pageQuery(parseInput(pageSchema, input)));
  return { ...page, items: page.items.map(viewKey) };
}

export async function getKey(ctx: Context, caller: Caller, id: string) {
  return viewKey(await requireKey(ctx.db, caller, id));
}

export async function changeKey(ctx: Context, caller: Caller, id: string, input: unknown) {
  const given = parseInput(keyChangeSchema, input);
  await makeChange(ctx, caller, async (tx, note) => {
    await requireKeyToManage(tx, caller, id);
    if (given.scopes) requireMayGrant(caller, given.scopes);
    const change: Partial<Row<'keys'>> = {};
    if (given.name !== undefined) change.name = given.name;
    if (given.scopes !== undefined) change.scopes_json = toJson(given.scopes);
    if (given.event_ids !== undefined) change.event_ids_json = listOrNull(given.event_ids);
    if (given.allowed_ips !== undefined) change.allowed_ips_json = listOrNull(given.allowed_ips);
    if (given.expires_at !== undefined) change.expires_at = given.expires_at;
    if (given.enabled !== undefined) change.enabled = given.enabled ? 1 : 0;
    if (Object.keys(change).length > 0) await updateKey(tx, id, change);
    await note('key.change', { kind: 'key', id }, { changed: Object.keys(given) });
  });
  return getKey(ctx, caller, id);
}

/** Shows the secret again; that somebody looked is written down. */
export async function revealKey(ctx: Context, caller: Caller, id: string) {
  return makeChange(ctx, caller, async (tx, note) => {
    const row = await requireKeyToManage(tx, caller, id);
    await note('key.reveal', { kind: 'key', id }, { name: row.name });
    return { id, key: ctx.seal.open(sealLabel, row.secret_sealed) };
  });
}

/** Gives the key a new secret; the old one is worth nothing from now on. */
export async function rotateKey(ctx: Context, caller: Caller, id: string) {
  const secret = makeToken('fhk');
  await makeChange(ctx, caller, async (tx, note) => {
    const row = await requireKeyToManage(tx, caller, id);
    await updateKey(tx, id, secretColumns(ctx, secret));
    await note('key.rotate', { kind: 'key', id }, { name: row.name });
  });
  return { ...(await getKey(ctx, caller, id)), key: secret };
}

export async function deleteKey(ctx: Context, caller: Caller, id: string): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    const row = await requireKeyToManage(tx, caller, id);
    await deleteKeyRow(tx, caller.projectId, id);
    await note('key.delete', { kind: 'key', id }, { name: row.name });
  });
}

async function requireKey(db: Db, caller: Caller, id: string): Promise<Row<'keys'>> {
  const row = await findOwned(db, 'keys', caller.projectId, id);
  if (!row) throw new Fault('not_found', 'there is no such key');
  return row;
}

/** A key that can do more than the caller must not become the caller's. */
async function requireKeyToManage(db: Db, caller: Caller, id: string): Promise<Row<'keys'>> {
  const row = await requireKey(db, caller, id);
  requireMayGrant(caller, fromJson<Scope[]>(row.scopes_json));
  return row;
}

function requireMayGrant(caller: Caller, wanted: readonly Scope[]): void {
  if (wanted.includes('admin') && !caller.scopes.has('admin')) {
    throw new Fault('not_allowed', 'only an admin key may deal with admin keys');
  }
}

/** What a presented key may do; kept in the cache between calls. */
export type KeyFacts = {
  id: string;
  projectId: number;
  name: string;
  scopes: ReadonlySet<Scope>;
  eventIds: ReadonlySet<string> | null;
  allowed: BlockList | null;
  expiresAt: number | null;
  enabled: boolean;
};

/**
 * Finds the key that was presented. Throws `bad_key`, the same for unknown, disabled and expired, and
 * `not_allowed` when the key may not be used from `address`.
 */
export async function authenticateKey(
  ctx: Context,
  secret: string,
  address: string | null,
): Promise<KeyFacts> {
  const hash = hashToken(secret);
  const known = isEnvironmentKey(ctx, hash)
    ? environmentKey
    : await ctx.cache.get(`key ${hash}`, async () => factsOf(await findKeyByHash(ctx.db, hash)));
  const now = ctx.now();
  if (!known?.enabled || (known.expiresAt !== null && known.expiresAt <= now)) {
    const mistyped = secret.startsWith('fhk_') && !isWellFormed(secret, 'fhk');
    throw new Fault(
      'bad_key',
      mistyped ? 'the key is mistyped: its checksum does not fit' : 'no valid key was given',
    );
  }
  if (known.allowed && !isAllowed(known.allowed, address)) {
    throw new Fault('not_allowed', 'this key may not be used from this address');
  }
  if (known !== environmentKey) ctx.queues.sightings.keyUsed(known.id, now);
  return known;
}

const environmentKey: KeyFacts = {
  id: environmentKeyId,
  projectId: 1,
  name: 'FLEETHOOK_ADMIN_KEY',
  scopes: withImplied(['admin']),
  eventIds: null,
  allowed: null,
  expiresAt: null,
  enabled: true,
};

function isEnvironmentKey(ctx: Context, hash: string): boolean {
  return (
    ctx.process.adminKeyHash !== null &&
    timingSafeEqual(Buffer.from(ctx.process.adminKeyHash), Buffer.from(hash))
  );
}

function factsOf(row: Row<'keys'> | undefined): KeyFacts | null {
  if (!row) return null;
  const view = viewKey(row);
  const granted = withImplied(view.scopes);
  const networks = view.allowed_ips?.map(readNetwork).filter((network) => network !== null);
  return {
    id: row.id,
    projectId: granted.has('admin') ? 1 : row.project_id,
    name: row.name,
    scopes: granted,
    eventIds: view.event_ids ? new Set(view.event_ids) : null,
    allowed: networks ? blockListOf(networks) : null,
    expiresAt: row.expires_at,
    enabled: view.enabled,
  };
}

function isAllowed(allowed: BlockList, address: string | null): boolean {
  const family = address === null ? null : familyOf(address);
  return address !== null && family !== null && allowed.check(address, family);
}

/** The caller behind a key. An admin key acts on project 1, or on the project it names. */
export async function callerOfKey(
  ctx: Context,
  key: KeyFacts,
  address: string | null,
  projectId: number | null,
): Promise<Caller> {
  const caller: Caller = { ...key, kind: 'key', address };
  if (projectId === null || projectId === key.projectId) return caller;
  if (!key.scopes.has('admin')) throw new Fault('not_allowed', 'this key belongs to another project');
  if (!(await ctx.cache.get(`project ${projectId}`, () => findProject(ctx.db, projectId)))) {
    throw new Fault('not_found', `there is no project ${projectId}`);
  }
  return { ...caller, projectId };
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

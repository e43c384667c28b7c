/** Who may come in with a key: the one that was presented is looked up, checked, and becomes a caller. */
import { timingSafeEqual } from 'node:crypto';
import type { BlockList } from 'node:net';
import { blockListOf, familyOf, readNetwork } from '../../network.ts';
import { type Key, selectKeyByHash } from '../../store/key.ts';
import { selectProject } from '../../store/project.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { type Caller, type Scope, withImplied } from './caller.ts';
import { hashToken, isWellFormed } from './token.ts';

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
  ctx: Pick<Context, 'db' | 'now' | 'cache' | 'queues' | 'process'>,
  secret: string,
  address: string | null,
): Promise<KeyFacts> {
  const hash = hashToken(secret);
  const known = isEnvironmentKey(ctx, hash)
    ? environmentKey
    : await ctx.cache.get(`key ${hash}`, async () => factsOf(await selectKeyByHash(ctx.db, hash)));
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

/** The one that FLEETHOOK_ADMIN_KEY gives. */
const environmentKey: KeyFacts = {
  id: 'environment',
  projectId: 1,
  name: 'FLEETHOOK_ADMIN_KEY',
  scopes: withImplied(['admin']),
  eventIds: null,
  allowed: null,
  expiresAt: null,
  enabled: true,
};

function isEnvironmentKey(ctx: Pick<Context, 'process'>, hash: string): boolean {
  return (
    ctx.process.adminKeyHash !== null &&
    timingSafeEqual(Buffer.from(ctx.process.adminKeyHash), Buffer.from(hash))
  );
}

function factsOf(key: Key | undefined): KeyFacts | null {
  if (!key) return null;
  const granted = withImplied(key.scopes);
  const networks = key.allowedIps?.map(readNetwork).filter((network) => network !== null);
  return {
    id: key.id,
    projectId: granted.has('admin') ? 1 : key.projectId,
    name: key.name,
    scopes: granted,
    eventIds: key.eventIds ? new Set(key.eventIds) : null,
    allowed: networks ? blockListOf(networks) : null,
    expiresAt: key.expiresAt,
    enabled: key.enabled,
  };
}

function isAllowed(allowed: BlockList, address: string | null): boolean {
  const family = address === null ? null : familyOf(address);
  return address !== null && family !== null && allowed.check(address, family);
}

/** The caller behind a key. An admin key acts on project 1, or on the project it names. */
export async function callerOfKey(
  ctx: Pick<Context, 'db' | 'cache'>,
  key: KeyFacts,
  address: string | null,
  projectId: number | null,
): Promise<Caller> {
  const caller: Caller = { ...key, kind: 'key', address };
  if (projectId === null || projectId === key.projectId) return caller;
  if (!key.scopes.has('admin')) throw new Fault('not_allowed', 'this key belongs to another project');
  if (!(await ctx.cache.get(`project ${projectId}`, () => selectProject(ctx.db, projectId)))) {
    throw new Fault('not_found', `there is no project ${projectId}`);
  }
  return { ...caller, projectId };
}

/** People who sign in. A role is a set of scopes: viewers look, operators act, owners also change the set-up. */
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { findOwned, listOwned } from '../../store/owned.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db, Row } from '../../store/schema.ts';
import {
  deleteSession,
  deleteUser as deleteUserRow,
  deleteUserSessions,
  findSessionUser,
  findUserByEmail,
  insertSession,
  insertUser,
  updateUser,
} from '../../store/user.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { instant, nameSchema, pageSchema, parseInput } from '../input.ts';
import { makeChange } from './audit.ts';
import { type Caller, type Scope, withImplied } from './caller.ts';
import { hashToken, makeToken } from './token.ts';

const roles = ['owner', 'operator', 'viewer'] as const;
type Role = (typeof roles)[number];
const scopesOfRole: Readonly<Record<Role, readonly Scope[]>> = {
  owner: ['manage', 'trigger'],
  operator: ['read', 'trigger', 'command', 'publish'],
  viewer: ['read'],
};

const sessionMs = 12 * 60 * 60 * 1_000;
const passwordMin = 12;
const passwordMax = 200;
// OWASP's first choice for scrypt: 128 MiB would not fit a small host, 16 MiB with N=2^14 does.
const scryptCost: ScryptOptions = { N: 16_384, r: 8, p: 5, maxmem: 64 * 1024 * 1024 };
const hashBytes = 32;
/** Of no password: nothing hashes to zeros. */
const nobodysHash = `scrypt$${'A'.repeat(22)}$${'A'.repeat(43)}`;

const emailSchema = z.string().trim().toLowerCase().pipe(z.email().max(200));
const userSchema = z.strictObject({
  email: emailSchema,
  name: nameSchema,
  role: z.enum(roles),
  password: z.string().min(passwordMin).max(passwordMax),
  enabled: z.boolean().default(true),
});
const userChangeSchema = userSchema.partial().extend({ enabled: z.boolean().optional() });
const signInSchema = z.strictObject({ email: emailSchema, password: z.string().max(passwordMax) });

function viewUser(row: Row<'users'>) {
  return {
    id: row.id,
    email: row.email,
    name: row.name,
    role: row.role as Role,
    enabled: row.enabled === 1,
    last_login_at: instant(row.last_login_at),
    created_at: instant(row.created_at),
  };
}

export async function createUser(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(userSchema, input);
  const row: Row<'users'> = {
    id: newId(ctx.now()),
    project_id: caller.projectId,
    email: given.email,
    name: given.name,
    role: given.role,
    password_hash: await hashPassword(given.password),
    enabled: given.enabled ? 1 : 0,
    last_login_at: null,
    created_at: ctx.now(),
  };
  await makeChange(ctx, caller, async (tx, note) => {
    await insertUser(tx, row);
    await note('user.create', { kind: 'user', id: row.id }, { email: row.email, role: row.role });
  });
  return viewUser(row);
}

export async function listUsers(ctx: Context, caller: Caller, input: unknown) {
  const page = await listOwned(ctx.db, 'users', caller.projectId, pageQuery(parseInput(pageSchema, input)));
  return { ...page, items: page.items.map(viewUser) };
}

export async function getUser(ctx: Context, caller: Caller, id: string) {
  return viewUser(await requireUser(ctx.db, caller, id));
}

/** A new password, role or switch-off ends the user's sessions. */
export async function changeUser(ctx: Context, caller: Caller, id: string, input: unknown) {
  const given = parseInput(userChangeSchema, input);
  const passwordHash = given.password === undefined ? undefined : await hashPassword(given.password);
  await makeChange(ctx, caller, async (tx, note) => {
    await requireUser(tx, caller, id);
    const change: Partial<Row<'users'>> = {};
    if (given.email !== undefined) change.email = given.email;
    if (given.name !== undefined) change.name = given.name;
    if (given.role !== undefined) change.role = given.role;
    if (given.enabled !== undefined) change.enabled = given.enabled ? 1 : 0;
    if (passwordHash !== undefined) change.password_hash = passwordHash;
    if (Object.keys(change).length > 0) await updateUser(tx, id, change);
    if (passwordHash !== undefined || given.role !== undefined || given.enabled === false) {
      await deleteUserSessions(tx, id);
    }
    await note('user.change', { kind: 'user', id }, { changed: Object.keys(given) });
  });
  return getUser(ctx, caller, id);
}

export async function deleteUser(ctx: Context, caller: Caller, id: string): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    const row = await requireUser(tx, caller, id);
    await deleteUserSessions(tx, id);
    await deleteUserRow(tx, id);
    await note('user.delete', { kind: 'user', id }, { email: row.email });
  });
}

async function requireUser(db: Db, caller: Caller, id: string): Promise<Row<'users'>> {
  const row = await findOwned(db, 'users', caller.projectId, id);
  if (!row) throw new Fault('not_found', 'there is no such user');
  return row;
}

/** Answers a session token for the right password; throws `bad_session`, the same whatever was wrong. */
export async function signIn(ctx: Context, input: unknown, address: string | null) {
  const given = parseInput(signInSchema, input);
  const row = await findUserByEmail(ctx.db, given.email);
  // Hashing for nobody too, so that the time of the answer does not tell who has an account.
  const matches = await isPassword(given.password, row?.password_hash ?? nobodysHash);
  if (!row || !matches || row.enabled !== 1) {
    throw new Fault('bad_session', 'the e-mail address or the password is wrong');
  }
  const token = makeToken('fhs');
  const now = ctx.now();
  const expiresAt = now + sessionMs;
  const session = { hash: hashToken(token), user_id: row.id, expires_at: expiresAt, created_at: now };
  await makeChange(ctx, callerOfUser(row, address), async (tx, note) => {
    await insertSession(tx, session);
    await updateUser(tx, row.id, { last_login_at: now });
    await note('session.create', { kind: 'user', id: row.id });
  });
  return { token, expires_at: expiresAt, user: viewUser({ ...row, last_login_at: now }) };
}

/** The caller behind a session token; throws `bad_session`. */
export async function authenticateSession(
  ctx: Context,
  token: string,
  address: string | null,
): Promise<Caller> {
  const row = await findSessionUser(ctx.db, hashToken(token), ctx.now());
  if (!row) throw new Fault('bad_session', 'the session has ended: sign in again');
  return callerOfUser(row, address);
}

export async function signOut(ctx: Context, token: string): Promise<void> {
  await deleteSession(ctx.db, hashToken(token));
}

function callerOfUser(row: Row<'users'>, address: string | null): Caller {
  const granted = withImplied(scopesOfRole[row.role as Role]);
  return {
    projectId: row.project_id,
    kind: 'user',
    id: row.id,
    name: row.email,
    scopes: granted,
    eventIds: null,
    address,
  };
}

async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const hash = await stretch(password, salt);
  return `scrypt$${salt.toString('base64url')}$${hash.toString('base64url')}`;
}

async function isPassword(password: string, kept: string): Promise<boolean> {
  const [, salt = '', hash = ''] = kept.split('$');
  const wanted = Buffer.from(hash, 'base64url');
  const found = await stretch(password, Buffer.from(salt, 'base64url'));
  return wanted.length === found.length && timingSafeEqual(wanted, found);
}

function stretch(password: string, salt: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize(), salt, hashBytes, scryptCost, (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });
}

/** A session is what a person gets for the right password: for half a day, the token stands for the user. */
import { z } from 'zod';
import { deleteSession, insertSession } from '../../store/session.ts';
import { selectUserByEmail, selectUserBySession, type User, updateUser } from '../../store/user.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { parseInput } from '../input.ts';
import { makeChange } from './audit.ts';
import { type Caller, scopesOfRole, withImplied } from './caller.ts';
import { isPassword, nobodysHash } from './password.ts';
import { hashToken, makeToken } from './token.ts';
import { emailSchema, passwordMax, viewUser } from './user.ts';

const sessionMs = 12 * 60 * 60 * 1_000;
const signInSchema = z.strictObject({ email: emailSchema, password: z.string().max(passwordMax) });

/** Answers a session token for the right password; throws `bad_session`, the same whatever was wrong. */
export async function signIn(ctx: Context, input: unknown, address: string | null) {
  const given = parseInput(signInSchema, input);
  const user = await selectUserByEmail(ctx.db, given.email);
  // Hashing for nobody too, so that the time of the answer does not tell who has an account.
  const matches = await isPassword(given.password, user?.passwordHash ?? nobodysHash);
  if (!user || !matches || !user.enabled) {
    throw new Fault('bad_session', 'the e-mail address or the password is wrong');
  }
  const token = makeToken('fhs');
  const now = ctx.now();
  const expiresAt = now + sessionMs;
  await makeChange(ctx, callerOfUser(user, address), async (tx, note) => {
    await insertSession(tx, { hash: hashToken(token), userId: user.id, expiresAt, createdAt: now });
    await updateUser(tx, user.id, { lastLoginAt: now });
    await note('session.create', { kind: 'user', id: user.id });
  });
  return { token, expires_at: expiresAt, user: viewUser({ ...user, lastLoginAt: now }) };
}

/** The caller behind a session token; throws `bad_session`. */
export async function authenticateSession(
  ctx: Pick<Context, 'db' | 'now'>,
  token: string,
  address: string | null,
): Promise<Caller> {
  const user = await selectUserBySession(ctx.db, hashToken(token), ctx.now());
  if (!user) throw new Fault('bad_session', 'the session has ended: sign in again');
  return callerOfUser(user, address);
}

export async function signOut(ctx: Pick<Context, 'db'>, token: string): Promise<void> {
  await deleteSession(ctx.db, hashToken(token));
}

function callerOfUser(user: User, address: string | null): Caller {
  return {
    projectId: user.projectId,
    kind: 'user',
    id: user.id,
    name: user.email,
    scopes: withImplied(scopesOfRole[user.role]),
    eventIds: null,
    address,
  };
}

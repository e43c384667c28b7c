/** People who may sign in, each with a role. */
import { z } from 'zod';
import { pageQuery } from '../../store/page.ts';
import type { Db } from '../../store/schema.ts';
import { deleteUserSessions } from '../../store/session.ts';
import { deleteUser, insertUser, selectUser, selectUsers, type User, updateUser } from '../../store/user.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { instant, nameSchema, pageSchema, parseInput } from '../input.ts';
import { makeChange } from './audit.ts';
import { type Caller, roles } from './caller.ts';
import { hashPassword } from './password.ts';

const passwordMin = 12;
export const passwordMax = 200;

export const emailSchema = z.string().trim().toLowerCase().pipe(z.email().max(200));
const userSchema = z.strictObject({
  email: emailSchema,
  name: nameSchema,
  role: z.enum(roles),
  password: z.string().min(passwordMin).max(passwordMax),
  enabled: z.boolean().default(true),
});
const userChangeSchema = userSchema.partial().extend({ enabled: z.boolean().optional() });

export function viewUser(user: User) {
  return {
    id: user.id,
    email: user.email,
    name: user.name,
    role: user.role,
    enabled: user.enabled,
    last_login_at: instant(user.lastLoginAt),
    created_at: instant(user.createdAt),
  };
}

export async function createUser(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(userSchema, input);
  const user: User = {
    id: newId(ctx.now()),
    projectId: caller.projectId,
    email: given.email,
    name: given.name,
    role: given.role,
    passwordHash: await hashPassword(given.password),
    enabled: given.enabled,
    lastLoginAt: null,
    createdAt: ctx.now(),
  };
  await makeChange(ctx, caller, async (tx, note) => {
    await insertUser(tx, user);
    await note('user.create', { kind: 'user', id: user.id }, { email: user.email, role: user.role });
  });
  return viewUser(user);
}

export async function listUsers(ctx: Pick<Context, 'db'>, caller: Caller, input: unknown) {
  const page = await selectUsers(ctx.db, caller.projectId, pageQuery(parseInput(pageSchema, input)));
  return { ...page, items: page.items.map(viewUser) };
}

export async function getUser(ctx: Pick<Context, 'db'>, caller: Caller, id: string) {
  return viewUser(await requireUser(ctx.db, caller, id));
}

/** A new password, role or switch-off ends the user's sessions. */
export async function changeUser(ctx: Context, caller: Caller, id: string, input: unknown) {
  const given = parseInput(userChangeSchema, input);
  const passwordHash = given.password === undefined ? undefined : await hashPassword(given.password);
  await makeChange(ctx, caller, async (tx, note) => {
    await requireUser(tx, caller, id);
    const { email, name, role, enabled } = given;
    await updateUser(tx, id, { email, name, role, enabled, passwordHash });
    if (passwordHash !== undefined || role !== undefined || enabled === false) {
      await deleteUserSessions(tx, id);
    }
    await note('user.change', { kind: 'user', id }, { changed: Object.keys(given) });
  });
  return getUser(ctx, caller, id);
}

export async function removeUser(ctx: Context, caller: Caller, id: string): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    const user = await requireUser(tx, caller, id);
    await deleteUserSessions(tx, id);
    await deleteUser(tx, id);
    await note('user.delete', { kind: 'user', id }, { email: user.email });
  });
}

async function requireUser(db: Db, caller: Caller, id: string): Promise<User> {
  const user = await selectUser(db, caller.projectId, id);
  if (!user) throw new Fault('not_found', 'there is no such user');
  return user;
}

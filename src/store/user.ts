/** The table `users`: people who may sign in. */
import type { Role } from '../domain/access/caller.ts';
import { type Change, defined, fromFlag, isEmpty, toFlag } from './columns.ts';
import { oldestFirst, type Page, type PageQuery } from './page.ts';
import type { Db, Row } from './schema.ts';

export type User = {
  id: string;
  projectId: number;
  email: string;
  name: string;
  role: Role;
  passwordHash: string;
  enabled: boolean;
  lastLoginAt: number | null;
  createdAt: number;
};

function fromRow(row: Row<'users'>): User {
  return {
    id: row.id,
    projectId: row.project_id,
    email: row.email,
    name: row.name,
    role: row.role as Role,
    passwordHash: row.password_hash,
    enabled: fromFlag(row.enabled),
    lastLoginAt: row.last_login_at,
    createdAt: row.created_at,
  };
}

function toRow(user: User): Row<'users'>;
function toRow(user: Change<User>): Change<Row<'users'>>;
function toRow(user: Change<User>): Change<Row<'users'>> {
  return {
    id: user.id,
    project_id: user.projectId,
    email: user.email,
    name: user.name,
    role: user.role,
    password_hash: user.passwordHash,
    enabled: toFlag(user.enabled),
    last_login_at: user.lastLoginAt,
    created_at: user.createdAt,
  };
}

export async function insertUser(db: Db, user: User): Promise<void> {
  await db.insertInto('users').values(toRow(user)).execute();
}

export async function selectUser(db: Db, projectId: number, id: string): Promise<User | undefined> {
  const row = await selectUsersOf(db, projectId).where('id', '=', id).executeTakeFirst();
  return row && fromRow(row);
}

export async function selectUserByEmail(db: Db, email: string): Promise<User | undefined> {
  const row = await db.selectFrom('users').selectAll().where('email', '=', email).executeTakeFirst();
  return row && fromRow(row);
}

/** The enabled user behind an unexpired session. */
export async function selectUserBySession(db: Db, hash: string, now: number): Promise<User | undefined> {
  const row = await db
    .selectFrom('sessions')
    .innerJoin('users', 'users.id', 'sessions.user_id')
    .selectAll('users')
    .where('sessions.hash', '=', hash)
    .where('sessions.expires_at', '>', now)
    .where('users.enabled', '=', 1)
    .executeTakeFirst();
  return row && fromRow(row);
}

export async function selectUsers(db: Db, projectId: number, page: PageQuery): Promise<Page<User>> {
  return oldestFirst(selectUsersOf(db, projectId), page, fromRow);
}

function selectUsersOf(db: Db, projectId: number) {
  return db.selectFrom('users').selectAll().where('project_id', '=', projectId);
}

export async function updateUser(db: Db, id: string, change: Change<User>): Promise<void> {
  if (isEmpty(change)) return;
  await db
    .updateTable('users')
    .set(defined<Row<'users'>>(toRow(change)))
    .where('id', '=', id)
    .execute();
}

export async function deleteUser(db: Db, id: string): Promise<void> {
  await db.deleteFrom('users').where('id', '=', id).execute();
}

export async function deleteProjectUsers(db: Db, projectId: number): Promise<void> {
  await db.deleteFrom('users').where('project_id', '=', projectId).execute();
}

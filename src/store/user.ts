import type { Db, NewRow, Row } from './schema.ts';

export async function insertUser(db: Db, row: NewRow<'users'>): Promise<void> {
  await db.insertInto('users').values(row).execute();
}

export async function findUserByEmail(db: Db, email: string): Promise<Row<'users'> | undefined> {
  return db.selectFrom('users').selectAll().where('email', '=', email).executeTakeFirst();
}

export async function updateUser(db: Db, id: string, change: Partial<Row<'users'>>): Promise<void> {
  await db.updateTable('users').set(change).where('id', '=', id).execute();
}

export async function deleteUser(db: Db, id: string): Promise<void> {
  await db.deleteFrom('users').where('id', '=', id).execute();
}

export async function deleteProjectUsers(db: Db, projectId: number): Promise<void> {
  const own = db.selectFrom('users').select('id').where('project_id', '=', projectId);
  await db.deleteFrom('sessions').where('user_id', 'in', own).execute();
  await db.deleteFrom('users').where('project_id', '=', projectId).execute();
}

export async function insertSession(db: Db, row: NewRow<'sessions'>): Promise<void> {
  await db.insertInto('sessions').values(row).execute();
}

/** The enabled user behind an unexpired session. */
export async function findSessionUser(db: Db, hash: string, now: number): Promise<Row<'users'> | undefined> {
  return db
    .selectFrom('sessions')
    .innerJoin('users', 'users.id', 'sessions.user_id')
    .selectAll('users')
    .where('sessions.hash', '=', hash)
    .where('sessions.expires_at', '>', now)
    .where('users.enabled', '=', 1)
    .executeTakeFirst();
}

export async function deleteSession(db: Db, hash: string): Promise<void> {
  await db.deleteFrom('sessions').where('hash', '=', hash).execute();
}

export async function deleteUserSessions(db: Db, userId: string): Promise<void> {
  await db.deleteFrom('sessions').where('user_id', '=', userId).execute();
}

export async function deleteSessionsBefore(db: Db, time: number): Promise<void> {
  await db.deleteFrom('sessions').where('expires_at', '<', time).execute();
}

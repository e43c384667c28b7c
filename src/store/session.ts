/** The table `sessions`: who is signed in, and until when. */
import type { Db } from './schema.ts';

export type Session = {
  /** Of the token that the browser holds. */
  hash: string;
  userId: string;
  expiresAt: number;
  createdAt: number;
};

export async function insertSession(db: Db, session: Session): Promise<void> {
  await db
    .insertInto('sessions')
    .values({
      hash: session.hash,
      user_id: session.userId,
      expires_at: session.expiresAt,
      created_at: session.createdAt,
    })
    .execute();
}

export async function deleteSession(db: Db, hash: string): Promise<void> {
  await db.deleteFrom('sessions').where('hash', '=', hash).execute();
}

export async function deleteUserSessions(db: Db, userId: string): Promise<void> {
  await db.deleteFrom('sessions').where('user_id', '=', userId).execute();
}

/** Asks for the users: they must still be there. */
export async function deleteProjectSessions(db: Db, projectId: number): Promise<void> {
  const own = db.selectFrom('users').select('id').where('project_id', '=', projectId);
  await db.deleteFrom('sessions').where('user_id', 'in', own).execute();
}

export async function deleteSessionsBefore(db: Db, time: number): Promise<void> {
  await db.deleteFrom('sessions').where('expires_at', '<', time).execute();
}

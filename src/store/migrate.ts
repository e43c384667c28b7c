import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { migrations } from '../../db/migrations/index.ts';
import { inTransaction } from './open.ts';
import type { Db, Tables } from './schema.ts';

const migrationLockTimeoutMs = 60_000;

/** Brings the schema up to date; processes that start together take turns. Answers the names that were applied. */
export async function migrateDatabase(db: Kysely<Tables>, url: string): Promise<string[]> {
  using _turn = takeTurn(url);
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
  const { error, results = [] } = await migrator.migrateToLatest();
  if (error) throw error;
  return results.map((result) => result.migrationName);
}

/** Kysely locks MySQL itself. SQLite has no lock to wait on, so an exclusive transaction on a file beside it is one. */
function takeTurn(url: string): Disposable {
  const path = url.startsWith('sqlite:') ? url.slice('sqlite:'.length) : ':memory:';
  if (path === ':memory:') return { [Symbol.dispose]: () => {} };
  const lock = new DatabaseSync(`${path}.migrate`, { timeout: migrationLockTimeoutMs });
  lock.exec('begin exclusive');
  return { [Symbol.dispose]: () => lock.close() };
}

const reachMsMax = 30_000;
const reachEveryMs = 1_000;

/** Waits for a database that is not there yet, 30 seconds at most or until `signal`; `onFailure` is told of every try in vain. */
export async function reachDatabase(
  db: Db,
  signal: AbortSignal | undefined,
  onFailure: (error: unknown, attempt: number) => void,
): Promise<void> {
  const deadline = performance.now() + reachMsMax;
  for (let attempt = 1; ; attempt += 1) {
    try {
      await pingDatabase(db);
      return;
    } catch (error) {
      if (performance.now() >= deadline) throw error;
      onFailure(error, attempt);
      await sleep(reachEveryMs, undefined, signal ? { signal } : {});
    }
  }
}

/** One query that needs the database and nothing in it. Throws when it can't be reached. */
export async function pingDatabase(db: Db): Promise<void> {
  await sql`select 1`.execute(db);
}

export async function findSetting(db: Db, name: string): Promise<string | null> {
  const row = await db.selectFrom('settings').select('value').where('name', '=', name).executeTakeFirst();
  return row?.value ?? null;
}

/** Writes the setting when it is not there yet; answers the one that stands. */
export async function keepSetting(db: Db, name: string, value: string): Promise<string> {
  await db.insertInto('settings').ignore().values({ name, value }).execute();
  return (await findSetting(db, name)) ?? value;
}

/** Takes `count` numbers in a row and answers the first. */
export async function takeNumbers(
  db: Db,
  name: 'project' | 'group' | 'device',
  count: number,
): Promise<number> {
  return inTransaction(db, async (tx) => {
    await tx
      .updateTable('sequences')
      .set((eb) => ({ next_value: eb('next_value', '+', count) }))
      .where('name', '=', name)
      .execute();
    const row = await tx
      .selectFrom('sequences')
      .select('next_value')
      .where('name', '=', name)
      .executeTakeFirstOrThrow();
    return row.next_value - count;
  });
}

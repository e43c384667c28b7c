/** Brings the schema up to date, by the migrations in db/. */
import { DatabaseSync } from 'node:sqlite';
import type { Kysely } from 'kysely';
import { Migrator } from 'kysely/migration';
import { migrations } from '../../db/migrations/index.ts';
import type { Tables } from './schema.ts';

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

/** Opens the database, waits for one that is not there yet, and runs transactions. */
import { chmodSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { CompiledQuery, Kysely, MysqlDialect, SqliteDialect, sql } from 'kysely';
import { createPool } from 'mysql2';
import { isTransient } from './dialect.ts';
import type { Db, Tables } from './schema.ts';

/** How long SQLite waits for another process's write before it says "busy". It blocks the event loop, so it is short. */
const sqliteBusyTimeoutMs = 200;
const sqliteStatementsMax = 500;
const mysqlConnectionsMax = 10;
const mysqlConnectTimeoutMs = 5_000;

/**
 * Opens the database that `url` names: `sqlite:<path>` or `mysql://user:pass@host[:port]/name`.
 * SQLite: the file and its folder are made when they are missing. MySQL: connects with the first query.
 */
export function openDatabase(url: string): Kysely<Tables> {
  return url.startsWith('sqlite:') ? openSqlite(url.slice('sqlite:'.length)) : openMysql(url);
}

function openSqlite(path: string): Kysely<Tables> {
  if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return new Kysely<Tables>({
    dialect: new SqliteDialect({
      database: async () => {
        const database = new DatabaseSync(path, { timeout: sqliteBusyTimeoutMs });
        if (path !== ':memory:') chmodSync(path, 0o600);
        // WAL: readers of other processes never wait for us. FULL: a commit that was answered survives a power cut.
        database.exec('pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = off');
        database.exec('pragma cache_size = -65536; pragma temp_store = memory; pragma mmap_size = 268435456');
        return adaptSqlite(database);
      },
    }),
  });
}

/** Shows node:sqlite in the shape Kysely's SQLite driver asks for. */
function adaptSqlite(database: DatabaseSync) {
  const statements = new Map<string, ReturnType<typeof adapt>>();
  const adapt = (statement: StatementSync) => ({
    reader: statement.columns().length > 0,
    all: (parameters: readonly unknown[]) => statement.all(...(parameters as SQLInputValue[])),
    run: (parameters: readonly unknown[]) => statement.run(...(parameters as SQLInputValue[])),
    iterate: (parameters: readonly unknown[]) => statement.iterate(...(parameters as SQLInputValue[])),
  });
  return {
    close: () => database.close(),
    prepare: (text: string) => {
      const known = statements.get(text);
      if (known) return known;
      // A transaction that begins by reading could not be upgraded once another process has written.
      const prepared = adapt(database.prepare(text === 'begin' ? 'begin immediate' : text));
      if (statements.size >= sqliteStatementsMax) statements.clear();
      statements.set(text, prepared);
      return prepared;
    },
  };
}

function openMysql(url: string): Kysely<Tables> {
  return new Kysely<Tables>({
    dialect: new MysqlDialect({
      pool: createPool({
        uri: url,
        connectionLimit: mysqlConnectionsMax,
        connectTimeout: mysqlConnectTimeoutMs,
        charset: 'utf8mb4_bin',
        timezone: 'Z',
        // Without it an update that changes nothing counts as "no such row".
        flags: ['FOUND_ROWS'],
      }),
      onCreateConnection: async (connection) => {
        // Gap locks of the default level make unrelated inserts wait for each other and deadlock.
        await connection.executeQuery(
          CompiledQuery.raw('set session transaction isolation level read committed'),
        );
      },
    }),
  });
}

const transactionTriesMax = 6;
const transactionRetryMs = 50;

/**
 * Runs `work` in one transaction and retries it when another transaction stood in the way, so `work` must have
 * no effect outside of `tx`. Inside a transaction it joins that one.
 */
export async function inTransaction<T>(db: Db, work: (tx: Db) => Promise<T>): Promise<T> {
  if (db.isTransaction) return work(db);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await db.transaction().execute(work);
    } catch (error) {
      if (attempt === transactionTriesMax || !isTransient(error)) throw error;
      await sleep(transactionRetryMs * attempt * (1 + Math.random()));
    }
  }
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

/** What differs between SQLite and MySQL, as facts, and what their errors mean. */
import { MysqlAdapter, type RawBuilder, sql } from 'kysely';
import type { Db } from './schema.ts';

/** What differs between the databases, as facts. Code asks for the fact, never for the name. */
export type Dialect = {
  name: 'sqlite' | 'mysql';
  /** Ends `create table`: text compares byte by byte everywhere, as SQLite does by itself. */
  tableEnd: RawBuilder<unknown>;
  /** Rows in one multi-row insert: SQLite takes 32,766 parameters a statement, MySQL 65,535. */
  rowsPerInsert: number;
};

const sqlite: Dialect = { name: 'sqlite', tableEnd: sql``, rowsPerInsert: 1_000 };
const mysql: Dialect = {
  name: 'mysql',
  tableEnd: sql`engine=InnoDB character set utf8mb4 collate utf8mb4_bin`,
  rowsPerInsert: 1_000,
};

export function dialectOf(db: Db): Dialect {
  return db.getExecutor().adapter instanceof MysqlAdapter ? mysql : sqlite;
}

/** The rows in parts that one insert takes; no part for no rows. */
export function* chunksOf<T>(db: Db, rows: readonly T[]): Generator<T[]> {
  const { rowsPerInsert } = dialectOf(db);
  for (let from = 0; from < rows.length; from += rowsPerInsert) yield rows.slice(from, from + rowsPerInsert);
}

/** One packet of the database stays well below what servers take by default (16 MiB), twice that when written as hex. */
const bytesPerInsert = 2 * 1_024 * 1_024;
const largeRowsPerInsert = 200;

/** The same for rows that may be large: in parts by their size. */
export function* packetsOf<T>(rows: Iterable<T>, bytesOf: (row: T) => number): Generator<T[]> {
  let part: T[] = [];
  let bytes = 0;
  for (const row of rows) {
    part.push(row);
    bytes += bytesOf(row);
    if (bytes < bytesPerInsert && part.length < largeRowsPerInsert) continue;
    yield part;
    part = [];
    bytes = 0;
  }
  if (part.length > 0) yield part;
}

/** MariaDB looks at every row of a table that is updated by a subquery; plain values it looks up. */
const plainValuesMax = 1_000;

/**
 * A list of values for `in` and `not in`: as a subquery with one parameter however many they are, since a statement
 * takes only so many, and with one text, so that it is compiled once. MySQL gets short lists as they are.
 */
export function among<T extends string | number>(db: Db, values: readonly T[]): RawBuilder<T> {
  const list = JSON.stringify(values);
  if (dialectOf(db).name === 'sqlite') return sql<T>`(select value from json_each(${list}))`;
  if (values.length > 0 && values.length <= plainValuesMax) return sql<T>`(${sql.join(values)})`;
  const column = sql.raw(
    typeof values[0] === 'number' ? 'bigint' : 'varchar(255) character set utf8mb4 collate utf8mb4_bin',
  );
  return sql<T>`(select listed.v from json_table(${list}, '$[*]' columns (v ${column} path '$')) as listed)`;
}

const sqliteBusy = 5;
const sqliteLocked = 6;
const sqliteConstraintPrimaryKey = 1555;
const sqliteConstraintUnique = 2067;
const mysqlDuplicate = 1062;
const mysqlLockWaitTimeout = 1205;
const mysqlDeadlock = 1213;
const mysqlDuplicateKeyName = 1061;
const mysqlDuplicateColumn = 1060;

type DatabaseError = { errcode?: unknown; errno?: unknown; message?: unknown };

/** A unique key refused the row. */
export function isDuplicate(error: unknown): boolean {
  const { errcode, errno } = (error ?? {}) as DatabaseError;
  return (
    errcode === sqliteConstraintPrimaryKey || errcode === sqliteConstraintUnique || errno === mysqlDuplicate
  );
}

/** `create index` found an index of that name; only migrations ask. */
export function isIndexThere(error: unknown): boolean {
  const { errno, message } = (error ?? {}) as DatabaseError;
  return errno === mysqlDuplicateKeyName || /index \S+ already exists/.test(String(message));
}

/** `alter table` found a column of that name; only migrations ask. */
export function isColumnThere(error: unknown): boolean {
  const { errno, message } = (error ?? {}) as DatabaseError;
  return errno === mysqlDuplicateColumn || /duplicate column name/.test(String(message));
}

const awayCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'PROTOCOL_CONNECTION_LOST',
  'ER_SERVER_SHUTDOWN',
  'ER_CON_COUNT_ERROR',
  'ER_TOO_MANY_USER_CONNECTIONS',
]);

/** The database can't be reached, or is kept busy by others: nothing is wrong with what was asked. */
export function isAway(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return isTransient(error) || (typeof code === 'string' && awayCodes.has(code));
}

/** Another transaction stood in the way: the same work may pass when it is tried again. */
export function isTransient(error: unknown): boolean {
  const { errcode, errno } = (error ?? {}) as DatabaseError;
  if (typeof errcode === 'number')
    return (errcode & 0xff) === sqliteBusy || (errcode & 0xff) === sqliteLocked;
  return errno === mysqlDeadlock || errno === mysqlLockWaitTimeout;
}

/**
 * The schema as the migrations leave it, as text that is the same whatever version of the database made it:
 * `node test/schema-dump.ts` prints it, `--write` writes it to db/. MySQL needs FLEETHOOK_TEST_MYSQL_URL.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Kysely, sql } from 'kysely';
import { migrateDatabase } from '../src/store/migrate.ts';
import { openDatabase } from '../src/store/open.ts';
import type { Tables } from '../src/store/schema.ts';
import { createDatabase } from './mariadb.ts';

export type SchemaName = 'sqlite' | 'mysql';

export function schemaFile(name: SchemaName): string {
  return join(import.meta.dirname, '..', 'db', `schema.${name}.sql`);
}

type Column = { table: string; name: string; type: string; nullable: boolean; collation: string | null };
type Index = { table: string; name: string; unique: boolean; columns: string[] };

/** The schema of a fresh database; `mysqlUrl` without a database, as in `MariaDb.url`. */
export async function dumpSchema(name: SchemaName, mysqlUrl: string): Promise<string> {
  const url = name === 'sqlite' ? 'sqlite::memory:' : await createDatabase(mysqlUrl);
  const db = openDatabase(url);
  try {
    await migrateDatabase(db, url);
    return name === 'sqlite' ? await dumpSqlite(db) : await dumpMysql(db);
  } finally {
    await db.destroy();
  }
}

async function dumpSqlite(db: Kysely<Tables>): Promise<string> {
  const { rows } = await sql<Column & { primary: number; fallback: string | null }>`
    select t.name as "table", c.name, c.type, c."notnull" = 0 as nullable, null as collation
    from sqlite_master t join pragma_table_info(t.name) c where t.type = 'table'`.execute(db);
  const indexes = await sql<Index & { column: string; origin: string }>`
    select t.name as "table", i.name, i."unique", i.origin, c.name as "column"
    from sqlite_master t join pragma_index_list(t.name) i join pragma_index_info(i.name) c
    where t.type = 'table' order by t.name, i.name, c.seqno`.execute(db);
  // Names that SQLite makes up by itself count the indexes of a table: what they are for says more.
  const named = indexes.rows.map((row) => ({ ...row, name: row.origin === 'c' ? row.name : row.origin }));
  return format('SQLite', rows, gather(named));
}

async function dumpMysql(db: Kysely<Tables>): Promise<string> {
  const { rows } = await sql<Column>`
    select table_name as \`table\`, column_name as name, column_type as type,
      is_nullable = 'YES' as nullable, collation_name as collation
    from information_schema.columns where table_schema = database()`.execute(db);
  const indexes = await sql<Index & { column: string }>`
    select table_name as \`table\`, index_name as name, non_unique = 0 as \`unique\`, column_name as \`column\`
    from information_schema.statistics where table_schema = database()
    order by table_name, index_name, seq_in_index`.execute(db);
  // MariaDB tells a display width with integers, MySQL 8 does not; it means nothing.
  const columns = rows.map((row) => ({ ...row, type: row.type.replace(/^(\w*int)\(\d+\)/, '$1') }));
  return format('MySQL and MariaDB', columns, gather(indexes.rows));
}

/** One entry an index from one row a column; rows of an index follow each other. */
function gather(rows: readonly (Omit<Index, 'columns'> & { column: string; origin?: string })[]): Index[] {
  const indexes: Index[] = [];
  const made = new Map<string, Index>();
  for (const { table, name, unique, column } of rows) {
    const key = `${table} ${name}`;
    const known = made.get(key);
    if (known) known.columns.push(column);
    else {
      const index = { table, name, unique: Boolean(unique), columns: [column] };
      made.set(key, index);
      indexes.push(index);
    }
  }
  return indexes;
}

function format(title: string, columns: readonly Column[], indexes: readonly Index[]): string {
  const ours = (entry: { table: string }) => !/^(?:kysely|sqlite)_/.test(entry.table);
  const columnsOf = Map.groupBy(columns.filter(ours), (column) => column.table);
  const indexesOf = Map.groupBy(indexes.filter(ours), (index) => index.table);
  const tables = [...columnsOf.keys()].sort().map((table) => {
    const lines = [
      ...sorted(columnsOf.get(table), columnLine),
      ...sorted(indexesOf.get(table), indexLine),
    ].map((line) => `  ${line}`);
    return `create table ${table} (\n${lines.join(',\n')}\n);\n`;
  });
  return [`-- ${title}, after all migrations. Written by "npm run schema".\n`, ...tables].join('\n');
}

function sorted<T>(entries: readonly T[] = [], line: (entry: T) => string): string[] {
  return entries.map(line).sort();
}

function columnLine({ name, type, nullable, collation }: Column): string {
  return [name, type, collation && `collate ${collation}`, nullable ? 'null' : 'not null']
    .filter(Boolean)
    .join(' ');
}

function indexLine({ name, unique, columns }: Index): string {
  return `${unique ? 'unique ' : ''}index ${name} (${columns.join(', ')})`;
}

if (import.meta.main) {
  const mysqlUrl = process.env.FLEETHOOK_TEST_MYSQL_URL ?? '';
  for (const name of ['sqlite', 'mysql'] as const) {
    if (name === 'mysql' && !mysqlUrl) {
      process.stderr.write('Without MariaDB, its schema stays as it was: set FLEETHOOK_TEST_MYSQL_URL\n');
      process.exitCode = 1;
      continue;
    }
    const schema = await dumpSchema(name, mysqlUrl);
    if (process.argv.includes('--write')) writeFileSync(schemaFile(name), schema);
    else process.stdout.write(schema);
  }
}

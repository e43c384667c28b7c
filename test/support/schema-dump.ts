/**
 * The schema as the migrations leave it, as text that is the same whatever version of the database made it:
 * `node test/support/schema-dump.ts` prints it, `--write` writes it to db/. MySQL needs FLEETHOOK_TEST_MYSQL_URL.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Kysely, sql } from 'kysely';
import { migrateDatabase } from '../../src/store/migrate.ts';
import { openDatabase } from '../../src/store/open.ts';
import type { Tables } from '../../src/store/schema.ts';
import { createDatabase } from './mariadb.ts';

export type SchemaName = 'sqlite' | 'mysql';

export function schemaFile(name: SchemaName): string {
  return join(import.meta.dirname, '../..', 'db', `schema.${name}.sql`);
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
  const { rows } = await sql<Column>`
    select t.name as "table", c.name, lower(c.type) as type, c."notnull" = 0 as nullable, null as collation
    from sqlite_master t join pragma_table_info(t.name) c where t.type = 'table'
    order by t.name, c.cid`.execute(db);
  const indexes = await sql<Index & { column: string; origin: string }>`
    select t.name as "table", i.name, i."unique", i.origin, c.name as "column"
    from sqlite_master t join pragma_index_list(t.name) i join pragma_index_info(i.name) c
    where t.type = 'table' order by t.name, i.name, c.seqno`.execute(db);
  return format('SQLite', rows, gather(indexes.rows));
}

async function dumpMysql(db: Kysely<Tables>): Promise<string> {
  const { rows } = await sql<Column>`
    select table_name as \`table\`, column_name as name, column_type as type,
      is_nullable = 'YES' as nullable, collation_name as collation
    from information_schema.columns where table_schema = database()
    order by table_name, ordinal_position`.execute(db);
  const indexes = await sql<Index & { column: string }>`
    select table_name as \`table\`, index_name as name, non_unique = 0 as \`unique\`, column_name as \`column\`
    from information_schema.statistics where table_schema = database()
    order by table_name, index_name, seq_in_index`.execute(db);
  // MariaDB tells a display width with integers, MySQL 8 does not; it means nothing.
  const columns = rows.map((row) => ({ ...row, type: row.type.replace(/^(\w*int)\(\d+\)/, '$1') }));
  return format('MySQL and MariaDB', columns, gather(indexes.rows));
}

/** One entry an index from one row a column; rows of an index follow each other. */
function gather(rows: readonly (Omit<Index, 'columns'> & { column: string })[]): Index[] {
  const indexes: Index[] = [];
  for (const { column, ...of } of rows) {
    const last = indexes.at(-1);
    if (last?.table === of.table && last.name === of.name) last.columns.push(column);
    else indexes.push({ ...of, columns: [column] });
  }
  return indexes;
}

function format(title: string, columns: readonly Column[], indexes: readonly Index[]): string {
  const ours = (entry: { table: string }) => !/^(?:kysely|sqlite)_/.test(entry.table);
  const columnsOf = Map.groupBy(columns.filter(ours), (column) => column.table);
  const indexesOf = Map.groupBy(indexes.filter(ours), (index) => index.table);
  const tables = [...columnsOf.keys()].sort().map((table) => {
    const indexLines = (indexesOf.get(table) ?? []).map(indexLine).sort();
    const lines = [...(columnsOf.get(table) ?? []).map(columnLine), ...indexLines].map((line) => `  ${line}`);
    return `create table ${table} (\n${lines.join(',\n')}\n);\n`;
  });
  return [`-- ${title}, after all migrations. Written by "npm run schema".\n`, ...tables].join('\n');
}

function columnLine({ name, type, nullable, collation }: Column): string {
  return [name, type, collation && `collate ${collation}`, nullable ? 'null' : 'not null']
    .filter(Boolean)
    .join(' ');
}

/** SQLite makes up names for the indexes of constraints, and counts in them: they are left out. */
function indexLine({ name, unique, columns }: Index): string {
  const shown = name.startsWith('sqlite_') ? [] : [name];
  return [...(unique ? ['unique'] : []), 'index', ...shown, `(${columns.join(', ')})`].join(' ');
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

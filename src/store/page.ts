/** Lists are read by key, never by offset: a page costs the same however far in it is. */
import { type SelectQueryBuilder, type SqlBool, sql } from 'kysely';

export type PageQuery = { limit: number; cursor: string | null };
export type Page<T> = { items: T[]; next_cursor: string | null };

const pageLimitDefault = 50;
export const pageLimitMax = 200;

export function pageQuery(input: { limit?: number | undefined; cursor?: string | undefined }): PageQuery {
  return {
    limit: Math.min(input.limit ?? pageLimitDefault, pageLimitMax),
    cursor: input.cursor ? Buffer.from(input.cursor, 'base64url').toString('utf8') : null,
  };
}

/** A page of what has ids of time, newest first. `column` is the id, with its table where there are several. */
export function newestFirst<DB, TB extends keyof DB, Row extends { id: string }, Item = Row>(
  query: SelectQueryBuilder<DB, TB, Row>,
  page: PageQuery,
  itemOf: (row: Row) => Item,
  column = 'id',
): Promise<Page<Item>> {
  const id = sql.ref(column);
  const from = page.cursor ? query.where(sql<SqlBool>`${id} < ${page.cursor}`) : query;
  return readPage(from.orderBy(id, 'desc'), page, itemOf);
}

/** A page in the order of ids: of time for text ids, of numbers for numbers. */
export function oldestFirst<DB, TB extends keyof DB, Row extends { id: string | number }, Item = Row>(
  query: SelectQueryBuilder<DB, TB, Row>,
  page: PageQuery,
  itemOf: (row: Row) => Item,
  { column = 'id', isNumber = false }: { column?: string; isNumber?: boolean } = {},
): Promise<Page<Item>> {
  const id = sql.ref(column);
  const cursor = page.cursor && isNumber ? Number(page.cursor) : page.cursor;
  const from = cursor ? query.where(sql<SqlBool>`${id} > ${cursor}`) : query;
  return readPage(from.orderBy(id), page, itemOf);
}

async function readPage<DB, TB extends keyof DB, Row extends { id: string | number }, Item>(
  query: SelectQueryBuilder<DB, TB, Row>,
  { limit }: PageQuery,
  itemOf: (row: Row) => Item,
): Promise<Page<Item>> {
  const rows = (await query.limit(limit + 1).execute()) as Row[];
  const { items, next_cursor } = pageOf(rows, limit, (row) => row.id);
  return { items: items.map(itemOf), next_cursor };
}

/** Makes a page of `limit + 1` rows that were read: the extra one only tells that there is more. */
export function pageOf<T>(rows: T[], limit: number, keyOf: (row: T) => string | number): Page<T> {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  const more = rows.length > limit && last !== undefined;
  return { items, next_cursor: more ? Buffer.from(String(keyOf(last))).toString('base64url') : null };
}

/** Lists are read by key, never by offset: a page costs the same however far in it is. */
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

/** Makes a page of `limit + 1` rows that were read: the extra one only tells that there is more. */
export function pageOf<T>(rows: T[], limit: number, keyOf: (row: T) => string | number): Page<T> {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  const more = rows.length > limit && last !== undefined;
  return { items, next_cursor: more ? Buffer.from(String(keyOf(last))).toString('base64url') : null };
}

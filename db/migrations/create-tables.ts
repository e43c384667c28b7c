import { type CreateTableBuilder, type Kysely, sql } from 'kysely';
import { dialectOf, isColumnThere, isIndexThere } from '../../src/store/dialect.ts';
import type { Tables } from '../../src/store/schema.ts';

/** Makes tables, columns and indexes that are not there yet, in both databases. */
export function createTables(db: Kysely<Tables>) {
  const { tableEnd } = dialectOf(db);
  return {
    table: async (
      title: string,
      build: (table: CreateTableBuilder<string>) => CreateTableBuilder<string>,
    ): Promise<void> =>
      build(db.schema.createTable(title).ifNotExists() as CreateTableBuilder<string>)
        .modifyEnd(tableEnd)
        .execute(),
    // MySQL commits every statement of a schema by itself: a start that was killed half-way must be able to go on.
    index: async (title: string, on: string, columns: string[]): Promise<void> => {
      try {
        await db.schema.createIndex(`${on}_${title}`).on(on).columns(columns).execute();
      } catch (error) {
        if (!isIndexThere(error)) throw error;
      }
    },
    /** Null in the rows that are there. */
    column: async (
      on: string,
      title: string,
      type: 'bigint' | 'integer' | 'mediumtext' | `varchar(${number})`,
    ): Promise<void> => {
      try {
        await db.schema
          .alterTable(on)
          .addColumn(title, type === 'mediumtext' ? sql`mediumtext` : type)
          .execute();
      } catch (error) {
        if (!isColumnThere(error)) throw error;
      }
    },
  };
}

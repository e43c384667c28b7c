/** The table `sequences`: numbers for projects, groups and devices, a block at a time, known before the insert. */
import { inTransaction } from './open.ts';
import type { Db } from './schema.ts';

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

/** The table `settings`: what the installation keeps by name. */
import type { Db } from './schema.ts';

export async function findSetting(db: Db, name: string): Promise<string | null> {
  const row = await db.selectFrom('settings').select('value').where('name', '=', name).executeTakeFirst();
  return row?.value ?? null;
}

/** Writes the setting when it is not there yet; answers the one that stands. */
export async function keepSetting(db: Db, name: string, value: string): Promise<string> {
  await db.insertInto('settings').ignore().values({ name, value }).execute();
  return (await findSetting(db, name)) ?? value;
}

/** The table `idempotency`: the first answer to a call that its caller has named, for when it calls again. */
import { fromJson } from './columns.ts';
import type { Db, Row } from './schema.ts';

export type FirstAnswer = {
  /** The key or link that called. */
  caller: string;
  /** The caller's own name for the call. */
  key: string;
  /** Of everything it sent. */
  callHash: string;
  triggerId: string;
  answer: unknown;
  createdAt: number;
};

function fromRow(row: Row<'idempotency'>): FirstAnswer {
  return {
    caller: row.caller,
    key: row.idempotency_key,
    callHash: row.call_hash,
    triggerId: row.trigger_id,
    answer: fromJson(row.answer_json),
    createdAt: row.created_at,
  };
}

function toRow(first: FirstAnswer): Row<'idempotency'> {
  return {
    caller: first.caller,
    idempotency_key: first.key,
    call_hash: first.callHash,
    trigger_id: first.triggerId,
    answer_json: JSON.stringify(first.answer),
    created_at: first.createdAt,
  };
}

export async function selectFirstAnswer(
  db: Db,
  caller: string,
  key: string,
  since: number,
): Promise<FirstAnswer | undefined> {
  const row = await db
    .selectFrom('idempotency')
    .selectAll()
    .where('caller', '=', caller)
    .where('idempotency_key', '=', key)
    .where('created_at', '>=', since)
    .executeTakeFirst();
  return row && fromRow(row);
}

/** In the place of one that has grown old. */
export async function insertFirstAnswer(db: Db, first: FirstAnswer): Promise<void> {
  await db
    .deleteFrom('idempotency')
    .where('caller', '=', first.caller)
    .where('idempotency_key', '=', first.key)
    .execute();
  await db.insertInto('idempotency').values(toRow(first)).execute();
}

export async function deleteFirstAnswersBefore(db: Db, time: number): Promise<void> {
  await db.deleteFrom('idempotency').where('created_at', '<', time).execute();
}

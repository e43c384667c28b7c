/** Every change that a person or key makes to the set-up is written down in the transaction that makes it. */
import { z } from 'zod';
import { type AuditEntry, insertAuditEntry, selectAuditEntries } from '../../store/audit.ts';
import { isDuplicate } from '../../store/dialect.ts';
import { inTransaction } from '../../store/open.ts';
import { pageQuery } from '../../store/page.ts';
import { holdProject } from '../../store/project.ts';
import type { Db } from '../../store/schema.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { instant, pageSchema, parseInput } from '../input.ts';
import type { Caller } from './caller.ts';

/** Notes one change, such as `key.create`. `details` must hold no secret. */
export type Note = (
  change: string,
  subject: { kind: string; id: string | number },
  details?: Record<string, unknown>,
) => Promise<void>;

/**
 * Makes a change to the set-up: `work` runs in one transaction and notes what it did; when it is committed, what
 * was remembered is forgotten and the feed is told. A name that is there already becomes `name_taken`.
 */
export async function makeChange<T>(
  ctx: Pick<Context, 'db' | 'now' | 'cache' | 'feed'>,
  caller: Caller,
  work: (tx: Db, note: Note) => Promise<T>,
): Promise<T> {
  const noted: { change: string; subject: string }[] = [];
  try {
    const result = await inTransaction(ctx.db, async (tx) => {
      noted.length = 0;
      return work(tx, async (change, subject, details = {}) => {
        noted.push({ change, subject: String(subject.id) });
        await insertAuditEntry(tx, {
          id: newId(ctx.now()),
          projectId: caller.projectId,
          at: ctx.now(),
          actorKind: caller.kind,
          actorId: caller.id,
          actorName: caller.name,
          address: caller.address,
          change,
          subjectKind: subject.kind,
          subjectId: String(subject.id),
          details,
        });
      });
    });
    for (const fact of noted) {
      ctx.feed.publish({ kind: 'change', projectId: caller.projectId, actor: caller.name, ...fact });
    }
    return result;
  } catch (error) {
    if (isDuplicate(error)) throw new Fault('name_taken', 'that name is taken already', { cause: error });
    throw error;
  } finally {
    ctx.cache.clear();
  }
}

/**
 * Inside a change that relies on a group, a type or the project, or takes one away: others of its kind wait until
 * this one has ended. Throws `not_found` when the project is gone.
 */
export async function holdInventory(tx: Db, caller: Caller): Promise<void> {
  if (!(await holdProject(tx, caller.projectId))) throw new Fault('not_found', 'the project is gone');
}

const filterSchema = pageSchema.extend({
  change: z.string().optional(),
  subject_kind: z.string().optional(),
  subject_id: z.string().optional(),
});

/** The changes of the caller's project, newest first. */
export async function listChanges(ctx: Pick<Context, 'db'>, caller: Caller, input: unknown) {
  const { change, subject_kind, subject_id, ...paging } = parseInput(filterSchema, input);
  const filter = { change, subjectKind: subject_kind, subjectId: subject_id };
  const page = await selectAuditEntries(ctx.db, caller.projectId, filter, pageQuery(paging));
  return { ...page, items: page.items.map(viewAuditEntry) };
}

function viewAuditEntry(entry: AuditEntry) {
  return {
    id: entry.id,
    at: instant(entry.at),
    actor: { kind: entry.actorKind, id: entry.actorId, name: entry.actorName },
    address: entry.address,
    change: entry.change,
    subject: { kind: entry.subjectKind, id: entry.subjectId },
    details: entry.details,
  };
}

/** A link is a trigger URL that is safe to hand out: one action, its own secret, perhaps an end or a number of uses. */
import { z } from 'zod';
import { fromJson, toJson } from '../../store/json.ts';
import { deleteLink as deleteLinkRow, findLinkByHash, insertLink } from '../../store/link.ts';
import { findOwned, listOwned } from '../../store/owned.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db, Row } from '../../store/schema.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import { hashToken, isWellFormed, makeToken } from '../access/token.ts';
import { linkEnded } from '../command/issue.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { eventIdSchema, instant, instantSchema, pageSchema, parseInput } from '../input.ts';
import { findReadyAction } from './action.ts';
import { callOfMembers, type TriggerRequest } from './call.ts';
import { type Fired, fireTrigger, previewAction, requireReadyAction } from './trigger.ts';

const payloadCharactersMax = 8_192;
const usesMax = 1_000_000;
const sealLabel = 'link';

const linkSchema = z.strictObject({
  event_id: eventIdSchema,
  payload: z
    .record(z.string(), z.json())
    .default({})
    .refine(
      (payload) => JSON.stringify(payload).length <= payloadCharactersMax,
      `at most ${payloadCharactersMax} characters`,
    ),
  expires_at: instantSchema.nullish(),
  max_uses: z.int().min(1).max(usesMax).nullish(),
});

function viewLink(ctx: Context, row: Row<'links'>) {
  const token = ctx.seal.open(sealLabel, row.token_sealed);
  return {
    id: row.id,
    event_id: row.event_id,
    token,
    url: `${ctx.process.publicUrl()}/l/${token}`,
    payload: fromJson<Record<string, unknown>>(row.payload_json),
    expires_at: instant(row.expires_at),
    max_uses: row.max_uses,
    uses: row.uses,
    created_at: instant(row.created_at),
  };
}

export async function createLink(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(linkSchema, input);
  if (!(await findReadyAction(ctx, caller.projectId, given.event_id))) {
    throw new Fault('unknown_event', `no action has the event_id "${given.event_id}"`);
  }
  const token = makeToken('fhl');
  const row: Row<'links'> = {
    id: newId(ctx.now()),
    project_id: caller.projectId,
    event_id: given.event_id,
    token_hash: hashToken(token),
    token_sealed: ctx.seal.close(sealLabel, token),
    payload_json: toJson(given.payload),
    expires_at: given.expires_at ?? null,
    max_uses: given.max_uses ?? null,
    uses: 0,
    created_at: ctx.now(),
  };
  await makeChange(ctx, caller, async (tx, note) => {
    await insertLink(tx, row);
    await note('link.create', { kind: 'link', id: row.id }, { event_id: row.event_id });
  });
  return viewLink(ctx, row);
}

export async function listLinks(ctx: Context, caller: Caller, input: unknown) {
  const page = await listOwned(ctx.db, 'links', caller.projectId, pageQuery(parseInput(pageSchema, input)));
  return { ...page, items: page.items.map((row) => viewLink(ctx, row)) };
}

export async function getLink(ctx: Context, caller: Caller, id: string) {
  return viewLink(ctx, await requireLink(ctx.db, caller, id));
}

export async function deleteLink(ctx: Context, caller: Caller, id: string): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    const row = await requireLink(tx, caller, id);
    await deleteLinkRow(tx, id);
    await note('link.delete', { kind: 'link', id }, { event_id: row.event_id });
  });
}

async function requireLink(db: Db, caller: Caller, id: string): Promise<Row<'links'>> {
  const row = await findOwned(db, 'links', caller.projectId, id);
  if (!row) throw new Fault('not_found', 'there is no such link');
  return row;
}

/** The link behind a token; throws `unknown_link`. */
export async function openLink(ctx: Context, token: string): Promise<Row<'links'>> {
  const row = isWellFormed(token, 'fhl') ? await findLinkByHash(ctx.db, hashToken(token)) : undefined;
  if (!row) throw new Fault('unknown_link', 'there is no such link');
  return row;
}

/** What the link would do, for the page that asks first. Throws `link_ended` for one that can't fire any more. */
export async function previewLink(ctx: Context, row: Row<'links'>) {
  const isOver = row.expires_at !== null && row.expires_at <= ctx.now();
  if (isOver || (row.max_uses !== null && row.uses >= row.max_uses)) throw linkEnded();
  return previewAction(
    ctx,
    await requireReadyAction(ctx, { projectId: row.project_id, eventIds: null }, row.event_id),
  );
}

/** Fires the link's action with the link's payload; the transaction that issues it decides whether the link is still good. */
export async function fireLink(
  ctx: Context,
  row: Row<'links'>,
  from: { address: string | null; userAgent: string | null },
  request: Omit<TriggerRequest, 'call' | 'source'>,
): Promise<Fired> {
  const members = { ...fromJson<Record<string, unknown>>(row.payload_json), event_id: row.event_id };
  const { call } = callOfMembers(members, {});
  const caller = { projectId: row.project_id, keyId: null, linkId: row.id, eventIds: null, ...from };
  return fireTrigger(ctx, caller, { ...request, call, source: 'link' });
}

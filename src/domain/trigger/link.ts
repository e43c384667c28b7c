/** A link is a trigger URL that is safe to hand out: one action, its own secret, perhaps an end or a number of uses. */
import { z } from 'zod';
import {
  deleteLink,
  insertLink,
  type Link,
  selectLink,
  selectLinkByHash,
  selectLinks,
} from '../../store/link.ts';
import { pageQuery } from '../../store/page.ts';
import type { Db } from '../../store/schema.ts';
import { makeChange } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import { hashToken, isWellFormed, makeToken } from '../access/token.ts';
import { linkEnded } from '../command/issue.ts';
import type { Context } from '../context.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import { eventIdSchema, instant, instantSchema, membersSchema, pageSchema, parseInput } from '../input.ts';
import { findReadyAction } from './action.ts';
import { type Call, callOfMembers, type TriggerRequest } from './call.ts';
import { type Fired, fireTrigger, previewAction, requireReadyAction } from './trigger.ts';

const payloadCharactersMax = 8_192;
const usesMax = 1_000_000;
const sealLabel = 'link';

const linkSchema = z.strictObject({
  event_id: eventIdSchema,
  payload: membersSchema
    .default({})
    .refine(
      (payload) => JSON.stringify(payload).length <= payloadCharactersMax,
      `at most ${payloadCharactersMax} characters`,
    ),
  expires_at: instantSchema.nullish(),
  max_uses: z.int().min(1).max(usesMax).nullish(),
});

function viewLink(ctx: Pick<Context, 'seal' | 'process'>, link: Link) {
  const token = ctx.seal.open(sealLabel, link.tokenSealed);
  return {
    id: link.id,
    event_id: link.eventId,
    token,
    url: `${ctx.process.publicUrl()}/l/${token}`,
    payload: link.payload,
    expires_at: instant(link.expiresAt),
    max_uses: link.maxUses,
    uses: link.uses,
    created_at: instant(link.createdAt),
  };
}

export async function createLink(ctx: Context, caller: Caller, input: unknown) {
  const given = parseInput(linkSchema, input);
  if (!(await findReadyAction(ctx, caller.projectId, given.event_id))) {
    throw new Fault('unknown_event', `no action has the event_id "${given.event_id}"`);
  }
  const token = makeToken('fhl');
  const link: Link = {
    id: newId(ctx.now()),
    projectId: caller.projectId,
    eventId: given.event_id,
    tokenHash: hashToken(token),
    tokenSealed: ctx.seal.close(sealLabel, token),
    payload: given.payload,
    expiresAt: given.expires_at ?? null,
    maxUses: given.max_uses ?? null,
    uses: 0,
    createdAt: ctx.now(),
  };
  await makeChange(ctx, caller, async (tx, note) => {
    await insertLink(tx, link);
    await note('link.create', { kind: 'link', id: link.id }, { event_id: link.eventId });
  });
  return viewLink(ctx, link);
}

export async function listLinks(ctx: Context, caller: Caller, input: unknown) {
  const page = await selectLinks(ctx.db, caller.projectId, pageQuery(parseInput(pageSchema, input)));
  return { ...page, items: page.items.map((link) => viewLink(ctx, link)) };
}

export async function getLink(ctx: Context, caller: Caller, id: string) {
  return viewLink(ctx, await requireLink(ctx.db, caller, id));
}

export async function removeLink(ctx: Context, caller: Caller, id: string): Promise<void> {
  await makeChange(ctx, caller, async (tx, note) => {
    const link = await requireLink(tx, caller, id);
    await deleteLink(tx, id);
    await note('link.delete', { kind: 'link', id }, { event_id: link.eventId });
  });
}

async function requireLink(db: Db, caller: Caller, id: string): Promise<Link> {
  const link = await selectLink(db, caller.projectId, id);
  if (!link) throw new Fault('not_found', 'there is no such link');
  return link;
}

/** The link behind a token; throws `unknown_link`. */
export async function openLink(ctx: Pick<Context, 'db'>, token: string): Promise<Link> {
  const link = isWellFormed(token, 'fhl') ? await selectLinkByHash(ctx.db, hashToken(token)) : undefined;
  if (!link) throw new Fault('unknown_link', 'there is no such link');
  return link;
}

/** What the link would do, for the page that asks first. Throws `link_ended` for one that can't fire any more. */
export async function previewLink(ctx: Context, link: Link) {
  const isOver = link.expiresAt !== null && link.expiresAt <= ctx.now();
  if (isOver || (link.maxUses !== null && link.uses >= link.maxUses)) throw linkEnded();
  const action = await requireReadyAction(ctx, { projectId: link.projectId, eventIds: null }, link.eventId);
  return previewAction(ctx, action, callOfLink(link));
}

function callOfLink(link: Link): Call {
  return callOfMembers({ ...link.payload, event_id: link.eventId }, {}).call;
}

/** Fires the link's action with the link's payload; the transaction that issues it decides whether the link is still good. */
export async function fireLink(
  ctx: Context,
  link: Link,
  from: { address: string | null; userAgent: string | null },
  request: Omit<TriggerRequest, 'call' | 'source'>,
): Promise<Fired> {
  const call = callOfLink(link);
  const caller = { projectId: link.projectId, keyId: null, linkId: link.id, eventIds: null, ...from };
  return fireTrigger(ctx, caller, { ...request, call, source: 'link' });
}

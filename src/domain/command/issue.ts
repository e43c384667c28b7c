/**
 * The way of a command: written down with its trigger in one commit, and sent when the commit is done. What
 * arrives in the same turn shares a commit. If it can't be stored, nothing is sent.
 */

import { type Command, insertCommands, updateOutOfForce } from '../../store/command.ts';
import { selectGroupPaths } from '../../store/group.ts';
import { insertFirstAnswer, selectFirstAnswer } from '../../store/idempotency.ts';
import { takeLinkUse } from '../../store/link.ts';
import { inTransaction } from '../../store/open.ts';
import type { Db } from '../../store/schema.ts';
import { insertTriggers } from '../../store/trigger.ts';
import { createCommits } from '../commit.ts';
import type { Context } from '../context.ts';
import { type CommandInForce, isState, replaces } from '../device/in-force.ts';
import { type PathOf, scopesOfTarget } from '../device/target.ts';
import { Fault } from '../fault.ts';
import type { IssueAnswer, IssueJob, Issues } from '../jobs.ts';
import { sendPulse, sendState } from './send.ts';

/** Jobs in one commit: enough to make the commit cheap, few enough to keep it short. */
const jobsPerCommit = 500;
const answersKeptMs = 24 * 60 * 60 * 1_000;

type IssueContext = Pick<Context, 'db' | 'log' | 'now' | 'cache' | 'feed' | 'live'>;

export function createIssues(ctx: IssueContext): Issues {
  return createCommits<IssueJob, IssueAnswer>((jobs) => commit(ctx, jobs), jobsPerCommit);
}

/** Issues a job and waits for the commit. Throws a `Fault`; `unavailable` when it could not be stored. */
export async function issue(ctx: Pick<Context, 'queues' | 'log'>, job: IssueJob): Promise<IssueAnswer> {
  try {
    return await ctx.queues.issues.add(job);
  } catch (error) {
    if (error instanceof Fault) throw error;
    ctx.log.error({ err: error }, 'a trigger could not be stored');
    throw new Fault('unavailable', 'it could not be stored, so nothing was sent: try again', {
      retryAfter: 5,
    });
  }
}

/** What a job is answered, and the commands that are issued for it: none when it is replayed or refused. */
type Admission = { answer: IssueAnswer | Fault; commands: readonly Command[] };

async function commit(ctx: IssueContext, jobs: readonly IssueJob[]): Promise<(IssueAnswer | Fault)[]> {
  const pathOf = await groupPaths(ctx, jobs);
  const { admissions, replaced } = await inTransaction(ctx.db, async (tx) => {
    const admitted: Admission[] = [];
    for (const job of jobs) admitted.push(await admit(ctx, tx, job));
    const triggers = jobs.flatMap((job, place) =>
      job.trigger && isIssued(admitted[place]?.answer) ? job.trigger : [],
    );
    await insertTriggers(tx, triggers);
    const commands = admitted.flatMap((admission) => admission.commands);
    const byCommand = replacedByEach(ctx, commands, pathOf);
    const replacedIds = new Set([...byCommand.values()].flat().map((command) => command.id));
    const stored = commands.map((command) =>
      replacedIds.has(command.id) ? { ...command, inForce: false } : command,
    );
    await insertCommands(tx, stored, scopesOfTarget);
    await updateOutOfForce(tx, [...replacedIds]);
    return { admissions: admitted, replaced: byCommand };
  });

  for (const { commands } of admissions) {
    for (const command of commands) send(ctx, command, replaced.get(command.id) ?? []);
  }
  return admissions.map((admission) => admission.answer);
}

/** It is on disk by now: what goes wrong in sending it does not make the answer wrong, devices catch up. */
function send(ctx: IssueContext, command: Command, replaced: readonly CommandInForce[]): void {
  try {
    if (isState(command)) sendState(ctx, command, replaced);
    else sendPulse(ctx, command);
  } catch (error) {
    ctx.log.error({ err: error, command: command.id }, 'a command could not be sent to everyone at once');
  }
}

function isIssued(answer: IssueAnswer | Fault | undefined): boolean {
  return answer !== undefined && !(answer instanceof Fault) && answer.replay === undefined;
}

/** Decides whether a job is issued, replayed or refused, and takes what it needs for that. */
async function admit(ctx: IssueContext, tx: Db, job: IssueJob): Promise<Admission> {
  const { idempotency, linkId, commands } = job;
  if (idempotency) {
    const first = await findFirstAnswer(ctx, tx, idempotency);
    if (first !== undefined) {
      const answer = first instanceof Fault ? first : { replay: first };
      return { answer, commands: [] };
    }
  }
  if (linkId !== undefined && !(await takeLinkUse(tx, linkId, ctx.now()))) {
    return { answer: linkEnded(), commands: [] };
  }
  if (idempotency) {
    await insertFirstAnswer(tx, { ...idempotency, createdAt: ctx.now() });
  }
  return { answer: { replay: undefined }, commands };
}

/** A link that can't fire any more. */
export function linkEnded(): Fault {
  return new Fault('link_ended', 'this link has ended or is used up');
}

/** The first answer to the same call, a `Fault` when the key was used for another call, undefined for a new key. */
export async function findFirstAnswer(
  ctx: Pick<Context, 'now'>,
  db: Db,
  call: { caller: string; key: string; callHash: string },
): Promise<unknown> {
  const known = await selectFirstAnswer(db, call.caller, call.key, ctx.now() - answersKeptMs);
  if (!known) return undefined;
  if (known.callHash === call.callHash) return known.answer;
  return new Fault('idempotency_conflict', 'this Idempotency-Key was used for another call');
}

/** Whose place each of these takes, those issued before it in the same commit included; by command id. */
function replacedByEach(
  ctx: Pick<Context, 'live'>,
  commands: readonly Command[],
  pathOf: PathOf,
): Map<string, CommandInForce[]> {
  const replaced = new Map<string, CommandInForce[]>();
  const fresh: CommandInForce[] = [];
  for (const command of commands) {
    if (!isState(command)) continue;
    const older = fresh.filter((other) => replaces(command, other, pathOf));
    replaced.set(command.id, [...ctx.live.inForce.replacedBy(command, pathOf), ...older]);
    fresh.push(command);
  }
  return replaced;
}

/** Reads the groups of projects in which a state is for groups: whether one covers another is seen by their paths. */
async function groupPaths(ctx: Pick<Context, 'db' | 'cache'>, jobs: readonly IssueJob[]): Promise<PathOf> {
  const projects = new Set(
    jobs.flatMap((job) =>
      job.commands
        .filter((command) => isState(command) && 'groups' in command.target)
        .map((command) => command.projectId),
    ),
  );
  const paths = new Map<number, readonly number[]>();
  for (const projectId of projects) {
    const rows = await ctx.cache.get(`group paths ${projectId}`, () => selectGroupPaths(ctx.db, projectId));
    for (const row of rows) paths.set(row.id, row.path);
  }
  return (groupId) => paths.get(groupId) ?? [groupId];
}

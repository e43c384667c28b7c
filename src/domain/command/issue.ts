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
import { type CommandInForce, isState, retires } from '../device/in-force.ts';
import { scopesOfTarget } from '../device/target.ts';
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
export async function issue(ctx: Context, job: IssueJob): Promise<IssueAnswer> {
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

type Settled = { answer: IssueAnswer | Fault; commands: readonly Command[] };

async function commit(ctx: IssueContext, jobs: readonly IssueJob[]): Promise<(IssueAnswer | Fault)[]> {
  const pathOf = await groupPaths(ctx, jobs);
  const { settled, retired } = await inTransaction(ctx.db, async (tx) => {
    const outcomes: Settled[] = [];
    for (const job of jobs) outcomes.push(await admit(ctx, tx, job));
    const admitted = outcomes.flatMap((outcome) => outcome.commands);
    const retirements = retirementsOf(ctx, admitted, pathOf);
    const triggers = jobs.flatMap((job, place) =>
      job.trigger && isIssued(outcomes[place]?.answer) ? job.trigger : [],
    );
    await insertTriggers(tx, triggers);
    const retiredIds = new Set([...retirements.values()].flat().map((command) => command.id));
    const issued = admitted.map((command) =>
      retiredIds.has(command.id) ? { ...command, inForce: false } : command,
    );
    await insertCommands(tx, issued, scopesOfTarget);
    await updateOutOfForce(tx, [...retiredIds]);
    return { settled: outcomes, retired: retirements };
  });

  for (const { commands } of settled) {
    for (const command of commands) send(ctx, command, retired.get(command.id) ?? []);
  }
  return settled.map((outcome) => outcome.answer);
}

/** It is on disk by now: what goes wrong in sending it does not make the answer wrong, devices catch up. */
function send(ctx: IssueContext, command: Command, retired: readonly CommandInForce[]): void {
  try {
    if (isState(command)) sendState(ctx, command, retired);
    else sendPulse(ctx, command);
  } catch (error) {
    ctx.log.error({ err: error, command: command.id }, 'a command could not be sent to everyone at once');
  }
}

function isIssued(answer: IssueAnswer | Fault | undefined): boolean {
  return answer !== undefined && !(answer instanceof Fault) && answer.replay === undefined;
}

/** Decides whether a job is issued, replayed or refused, and takes what it needs for that. */
async function admit(ctx: IssueContext, tx: Db, job: IssueJob): Promise<Settled> {
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

/** Which commands in force each of these makes meaningless, those issued in the same commit included. */
function retirementsOf(
  ctx: IssueContext,
  commands: readonly Command[],
  pathOf: (groupId: number) => readonly number[],
): Map<string, CommandInForce[]> {
  const retirements = new Map<string, CommandInForce[]>();
  const fresh: CommandInForce[] = [];
  for (const command of commands) {
    if (!isState(command)) continue;
    const older = fresh.filter((other) => retires(command, other, pathOf));
    retirements.set(command.id, [...ctx.live.inForce.retiredBy(command, pathOf), ...older]);
    fresh.push(command);
  }
  return retirements;
}

async function groupPaths(
  ctx: IssueContext,
  jobs: readonly IssueJob[],
): Promise<(groupId: number) => readonly number[]> {
  const projects = new Set(
    jobs.flatMap((job) =>
      job.commands
        .filter((command) => command.slot !== null && 'groups' in command.target)
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

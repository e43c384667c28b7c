/**
 * The way of an event: written down with its deliveries and alarms in one commit, and sent when the commit is done.
 * What arrives in the same turn shares a commit. An event that was answered is on disk, and so is what it causes.
 */
import { createCommits } from '../commit.ts';
import type { Context } from '../context.ts';
import type { ReadyType } from '../device/device-type.ts';
import { createMessageChecks, type MessageChecks } from '../device/message-checks.ts';
import { checkedCharactersMax } from '../device/message-schema.ts';
import { type EventWithBody, payloadOf } from '../event/event.ts';
import { Fault } from '../fault.ts';
import { newId } from '../id.ts';
import type { EventJob, Intake } from '../jobs.ts';
import { isJsonType } from '../media-type.ts';
import { type ReadyWebhook, receiversOf } from '../webhook/ready-webhook.ts';
import { type Known, knownOf } from './known.ts';
import { raiseAlarms } from './raise.ts';
import { type AlarmNews, tell } from './tell.ts';

const jobsPerCommit = 500;
/** What waits for its commit is in memory: a flood of large bodies is told to come again. */
const waitingBytesMax = 256 * 1_024 * 1_024;
const problemMax = 500;

type IntakeContext = Pick<Context, 'db' | 'log' | 'now' | 'cache' | 'feed' | 'seal' | 'live' | 'process'>;

export function createIntake(ctx: IntakeContext): Intake {
  const checks = createMessageChecks();
  let waitingBytes = 0;
  const batch = createCommits<Job, string | null>((jobs) => commit(ctx, checks, jobs), jobsPerCommit);

  async function enter(job: Job): Promise<string | null> {
    if (waitingBytes + job.body.length > waitingBytesMax)
      throw new Fault('unavailable', 'too much is waiting to be stored: try again', { retryAfter: 1 });
    waitingBytes += job.body.length;
    try {
      return await batch.add(job);
    } finally {
      waitingBytes -= job.body.length;
    }
  }

  return {
    async add(job) {
      const id = await enter(job);
      if (id === null) throw new Error('an event was stored and has no id');
      return id;
    },
    addIfWanted: (job) => enter({ ...job, onlyIfWanted: true }),
    drain: batch.drain,
  };
}

type Job = EventJob & { onlyIfWanted?: boolean };

/** An event with what was looked up for it, worked out once however often the transaction is tried. */
type Ready = { event: EventWithBody; payload: () => unknown; known: Known; to: ReadyWebhook[] };

/** The ids of the events, null for those that nobody wanted. */
async function commit(
  ctx: IntakeContext,
  checks: MessageChecks,
  jobs: readonly Job[],
): Promise<(string | null)[]> {
  const byProject = new Map<number, Known>();
  for (const { projectId } of jobs) {
    if (!byProject.has(projectId)) byProject.set(projectId, await knownOf(ctx, projectId));
  }
  const ready = jobs.map((job): Ready | null => {
    const of = byProject.get(job.projectId) ?? { webhooks: new Map(), rules: [], types: new Map() };
    const prepared = prepare(ctx, checks, job, of);
    return job.onlyIfWanted && prepared.to.length === 0 ? null : prepared;
  });
  const wanted = ready.filter((each) => each !== null);
  if (wanted.length > 0) {
    await tell(ctx, async (tx, outbox) => {
      const news: AlarmNews[] = [];
      for (const each of wanted) {
        outbox.add(each.event, each.to);
        news.push(...(await raiseAlarms(tx, outbox, each)));
      }
      return news;
    });
  }
  return ready.map((each) => each?.event.id ?? null);
}

function prepare(ctx: IntakeContext, checks: MessageChecks, job: Job, of: Known): Ready {
  const { device } = job.origin;
  const event: EventWithBody = {
    id: newId(ctx.now()),
    projectId: job.projectId,
    kind: job.kind,
    type: job.type,
    label: job.label,
    deviceId: device?.id ?? job.deviceId ?? null,
    origin: job.origin,
    mediaType: job.mediaType,
    body: job.body,
    bodyBytes: job.body.length,
    problem: null,
    at: ctx.now(),
  };
  const payload = once(() => job.payload ?? payloadOf(job, job.body));
  if (job.kind === 'message') event.problem = schemaProblem(checks, event, payload, of.types);
  if (event.problem !== null) {
    ctx.log.warn(
      { project: job.projectId, device: device?.id, type: job.type, event: event.id, problem: event.problem },
      'a message does not fit the schema of its type: it was stored and not forwarded',
    );
    return { event, payload, known: of, to: [] };
  }
  return { event, payload, known: of, to: receiversOf(of.webhooks, event, payload, job.to) };
}

/** Why a message does not fit the schema of its type, null when it does or when there is none. */
function schemaProblem(
  checks: MessageChecks,
  event: EventWithBody,
  payload: () => unknown,
  types: ReadonlyMap<string, ReadyType>,
): string | null {
  const { device } = event.origin;
  const schema = types.get(device?.type_id ?? '')?.schemas.get(event.type ?? '');
  if (schema === undefined) return null;
  if (event.bodyBytes > checkedCharactersMax)
    return `more than ${checkedCharactersMax} bytes cannot be checked`;
  const value = payload();
  if (value === undefined) return 'it is not JSON';
  const problem = checks.of(schema)(value);
  if (problem === null) return null;
  return (isJsonType(event.mediaType) ? problem : `it is a text, not JSON: ${problem}`).slice(0, problemMax);
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

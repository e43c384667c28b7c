/** The wiring, read from top to bottom: what is made, in which order, and how it is taken down again. */

import type { AddressInfo } from 'node:net';
import { pid } from 'node:process';
import packageJson from '../package.json' with { type: 'json' };
import type { Config } from './config.ts';
import { keepFirstKey, ownSecret } from './data-dir.ts';
import { systemCaller } from './domain/access/caller.ts';
import { createFirstKey } from './domain/access/key.ts';
import { createSeal, requireSameSecret } from './domain/access/seal.ts';
import { hashToken } from './domain/access/token.ts';
import { fireAlarms } from './domain/alarm/firing.ts';
import { createCache } from './domain/cache.ts';
import { createIssues } from './domain/command/issue.ts';
import { createReceipts } from './domain/command/receipt.ts';
import { endStates, loadInForce } from './domain/command/send.ts';
import type { Context } from './domain/context.ts';
import { createOutboundPort } from './domain/delivery/outbound.ts';
import { createInForce } from './domain/device/in-force.ts';
import { createPresence } from './domain/device/presence.ts';
import { createSightings } from './domain/device/sighting.ts';
import { logFacts } from './domain/fact.ts';
import { createFeed } from './domain/feed.ts';
import { newId } from './domain/id.ts';
import { createAlarmEnds } from './domain/intake/end-alarms.ts';
import { createIntake } from './domain/intake/intake.ts';
import { createLostDevices } from './domain/intake/lost-device.ts';
import { createOrphans } from './domain/intake/orphan.ts';
import { isOfQuietAlarms, tellQuietAlarms } from './domain/intake/quiet-alarm.ts';
import { createSystemEvents } from './domain/intake/system-event.ts';
import { sweep } from './domain/sweep.ts';
import { openHttp } from './http/server.ts';
import { createLog, type Log } from './log.ts';
import { startLoop } from './loop.ts';
import { openMqtt } from './mqtt/server.ts';
import type { PosterOptions } from './outbound/post.ts';
import { openOutbound } from './outbound/worker.ts';
import { openSockets } from './socket/server.ts';
import { migrateDatabase } from './store/migrate.ts';
import { openDatabase, reachDatabase } from './store/open.ts';

const { version } = packageJson;
const sightingsEveryMs = 1_000;
const sweepEveryMs = 60 * 60 * 1_000;
/** What is still under way when the server is told to stop gets this long. */
const drainMsMax = 10_000;

export type App = {
  url: string;
  ctx: Context;
  /** Stops taking requests, ends what is under way, and closes the database. */
  close(): Promise<void>;
};

export type AppOptions = {
  config: Config;
  log?: Log;
  now?: () => number;
  /** Gives up starting when it is aborted; once the server is up, `close` ends it. */
  signal?: AbortSignal;
  /** Checks answers against openapi.yaml too, for tests. */
  checkAnswers?: boolean;
  /** Whom the names of webhooks are asked of, for tests. */
  names?: PosterOptions['names'];
};

/** What rooms need, and the migrations that the database had to be given for it. */
type OpenedContext = { ctx: Context; applied: readonly string[] } & AsyncDisposable;

/** What rooms need, without any door: for the server, and for the command line beside it. */
export async function openContext(
  options: AppOptions,
  stopping: AbortSignal = new AbortController().signal,
): Promise<OpenedContext> {
  const { config, now = Date.now } = options;
  const log = options.log ?? createLog(config.logLevel);
  await using opened = new AsyncDisposableStack();

  const db = openDatabase(config.databaseUrl);
  opened.defer(() => db.destroy());
  await reachDatabase(db, options.signal, (error, attempt) =>
    log.warn({ reason: reasonOf(error), attempt }, 'the database is not there yet: trying again'),
  );
  const applied = await migrateDatabase(db, config.databaseUrl);
  if (applied.length > 0) log.info({ migrations: applied }, 'the schema was brought up to date');

  const seal = createSeal(config.secret ?? ownSecret(config.dataDir, log));
  await requireSameSecret(db, seal);

  const base: Omit<Context, 'queues'> = {
    db,
    log,
    now,
    cache: createCache(now),
    feed: createFeed((error) => log.error({ err: error }, 'a listener of the feed failed')),
    seal,
    live: { presence: createPresence(), inForce: createInForce(), outbound: createOutboundPort() },
    process: {
      nodeId: newId(now()),
      stopping,
      publicUrl: () => config.publicUrl ?? `http://localhost:${config.port}`,
      adminKeyHash: config.adminKey === null ? null : hashToken(config.adminKey),
    },
  };
  const ctx: Context = {
    ...base,
    queues: {
      issues: createIssues(base),
      receipts: createReceipts(base),
      intake: createIntake(base),
      sightings: createSightings(base.process.nodeId),
    },
  };
  await loadInForce(ctx);
  const parts = opened.move();
  return { ctx, applied, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

/** Starts a server. Rejects when the database can't be reached or the port is taken. */
export async function startApp(options: AppOptions): Promise<App> {
  const { config, checkAnswers = false } = options;
  await using started = new AsyncDisposableStack();
  const stop = new AbortController();
  const { ctx } = started.use(await openContext(options, stop.signal));
  const { log, db } = ctx;
  const onError = (error: unknown) => log.error({ err: error }, 'work in the background failed');
  const firstKey = await createFirstKey(ctx, systemCaller(1, 'first start'));
  if (firstKey !== null) keepFirstKey(config.dataDir, firstKey, log);
  if (config.unused.length > 0)
    log.warn({ settings: config.unused }, 'this version does not use these settings');

  const { server, addressOf } = openHttp({ ctx, config, checkAnswers });
  const sockets = openSockets(ctx, server, addressOf);

  const userAgent = `Fleethook/${version}`;
  const { webhookAllowNetworks: allowNetworks } = config;
  const outbound = await openOutbound(ctx, { allowNetworks, userAgent, names: options.names, onError });
  started.defer(() => outbound.close());
  const system = createSystemEvents(ctx);
  await system.load();
  started.defer(ctx.feed.subscribe((fact) => system.hear(fact)));
  const looks = startLoop(() => system.look(), onError);
  started.defer(() => looks.stop());
  const firings = startLoop(() => fireAlarms(ctx), onError);
  started.defer(() => firings.stop());
  started.defer(ctx.feed.subscribe((fact) => fact.kind === 'firings' && firings.wake()));

  const quiet = startLoop(() => tellQuietAlarms(ctx), onError);
  started.defer(() => quiet.stop());
  started.defer(ctx.feed.subscribe((fact) => isOfQuietAlarms(fact) && quiet.wake()));
  const lostDevices = createLostDevices(ctx);
  const losses = startLoop(() => lostDevices.look(), onError);
  started.defer(() => losses.stop());
  const orphans = createOrphans(ctx);
  const marks = startLoop(() => orphans.look(), onError);
  started.defer(() => marks.stop());
  started.defer(ctx.feed.subscribe((fact) => orphans.hear(fact) && marks.wake()));
  const alarmEnds = createAlarmEnds(ctx);
  const alarmEnding = startLoop(() => alarmEnds.look(), onError);
  started.defer(() => alarmEnding.stop());
  started.defer(ctx.feed.subscribe((fact) => alarmEnds.hear(fact) && alarmEnding.wake()));

  const ends = startLoop(() => endStates(ctx), onError);
  started.defer(() => ends.stop());
  started.defer(ctx.feed.subscribe((fact) => fact.kind === 'command' && fact.end !== null && ends.wake()));
  const sightings = startLoop(() => ctx.queues.sightings.flush(db).then(() => sightingsEveryMs), onError);
  started.defer(() => sightings.stop());
  const sweeps = startLoop(() => sweep(ctx, config).then(() => sweepEveryMs), onError);
  started.defer(() => sweeps.stop());
  started.defer(logFacts(ctx));

  const mqtt = await openMqtt({ ctx, config, server, addressOf, onError });
  started.defer(() => mqtt.close());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(config.port, config.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const url = `http://localhost:${port}`;
  if (config.publicUrl === null) ctx.process.publicUrl = () => url;
  const mqttPort = mqtt.port === null ? {} : { mqttPort: mqtt.port };
  log.info({ url, ...mqttPort, database: config.databaseUrl.split(':', 1)[0], pid }, 'Fleethook is up');

  const parts = started.move();
  let closing: Promise<void> | undefined;
  async function close(): Promise<void> {
    stop.abort();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    const giveUp = setTimeout(() => server.closeAllConnections(), drainMsMax);
    await Promise.all([sockets.close(), mqtt.close()]);
    await closed;
    clearTimeout(giveUp);
    await ctx.queues.issues.drain();
    await ctx.queues.receipts.drain();
    await system.drain();
    await ctx.queues.intake.drain();
    await ctx.queues.sightings.flush(db).catch(onError);
    await parts.disposeAsync();
    log.info('Fleethook is down');
    log.flush();
  }
  return { url, ctx, close: () => (closing ??= close()) };
}

/** The reason in a line; the stack of a refused connection tells nobody anything. */
function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message || String((error as { code?: unknown }).code) : String(error);
}

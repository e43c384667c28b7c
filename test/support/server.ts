/** Starts the real server on a free port with a fresh database, and speaks to it as a caller would. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite } from 'node:test';
import { io } from 'socket.io-client';
import { type App, type AppOptions, startApp } from '../../src/app.ts';
import { readConfig } from '../../src/config.ts';
import type { ReceiptMessage } from '../../src/domain/device/protocol.ts';
import { emptyState, mergeState, type StateMessage } from '../../src/domain/device/state.ts';
import { createLog } from '../../src/log.ts';
import type { CommandMessage, ReceiptAnswer } from '../../src/socket/protocol.ts';
import { createDatabase } from './mariadb.ts';
import { waitFor } from './wait.ts';

export const adminKey = 'test-admin-key-of-40-characters-or-so';

/**
 * Runs the suite on every database that is there; one that is missing is a skipped suite. Whatever it starts has
 * an end with the suite.
 */
export function onEveryDatabase(title: string, define: (start: typeof startServer) => void): void {
  const mysqlUrl = process.env.FLEETHOOK_TEST_MYSQL_URL;
  const defineOn = (urlOf: () => Promise<{ DATABASE_URL?: string }>) => {
    const started: TestServer[] = [];
    define(async (options) => {
      const server = await startServer({ ...options, env: { ...(await urlOf()), ...options?.env } });
      started.push(server);
      return server;
    });
    after(async () => {
      for (const server of started) await server[Symbol.asyncDispose]();
    });
  };
  suite(`${title} on SQLite`, () => defineOn(async () => ({})));
  suite(`${title} on MariaDB`, { skip: mysqlUrl ? false : 'there is no MariaDB' }, () =>
    defineOn(async () => ({ DATABASE_URL: await createDatabase(mysqlUrl ?? '') })),
  );
}

export type StartOptions = {
  env?: Record<string, string>;
  now?: () => number;
  /** The data folder of an earlier server, to start on what it left. */
  dataDir?: string;
  /** Whom the names of webhooks are asked of. */
  names?: AppOptions['names'];
};

export type Answer = {
  status: number;
  headers: Headers;
  /** The JSON of the answer, its text where it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers; a wrong path fails the test.
  body: any;
};

export type Call = {
  method?: string;
  key?: string | null;
  headers?: Record<string, string>;
  body?: unknown;
  /** Sent as it is. */
  raw?: string | Uint8Array;
};

/** One HTTP request; JSON unless `raw` says otherwise. */
export async function request(url: string, call: Call = {}): Promise<Answer> {
  const {
    key = adminKey,
    headers = {},
    body,
    raw,
    method = body === undefined && raw === undefined ? 'GET' : 'POST',
  } = call;
  const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const response = await fetch(url, {
    method,
    redirect: 'manual',
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(sent === undefined ? {} : { body: sent as string }),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') ?? false;
  return {
    status: response.status,
    headers: response.headers,
    body: isJson && text ? JSON.parse(text) : text,
  };
}

export type TestServer = Awaited<ReturnType<typeof startServer>>;

export async function startServer(options: StartOptions = {}) {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'fleethook-test-'));
  const env = {
    PORT: '0',
    HOST: '127.0.0.1',
    DATA_DIR: dataDir,
    LOG_LEVEL: 'warn',
    FLEETHOOK_ADMIN_KEY: adminKey,
    RATE_LIMIT_TRIGGERS: '0',
    RATE_LIMIT_FAILED_KEYS: '0',
    RATE_LIMIT_API: '0',
    ...options.env,
  };
  const read = readConfig(env);
  if ('problems' in read) throw new Error(read.problems.join('\n'));
  const logged: string[] = [];
  const app: App = await startApp({
    config: read.config,
    checkAnswers: true,
    log: createLog(read.config.logLevel, (line) => logged.push(line)),
    ...(options.now ? { now: options.now } : {}),
    ...(options.names ? { names: options.names } : {}),
  });
  const devices: TestDevice[] = [];

  async function close(): Promise<void> {
    for (const device of devices) device.disconnect();
    await app.close();
  }

  return {
    url: app.url,
    ctx: app.ctx,
    dataDir,
    env,
    /** Lines of the log so far. */
    logged,
    /** A management request. */
    api: (path: string, call?: Call) => request(`${app.url}/api/v1${path}`, call),
    /** A trigger: JSON to the main path. */
    trigger: (body: unknown, call: Call & { query?: string } = {}) =>
      request(`${app.url}/public-api/integration/webhooks${call.query ?? ''}`, { body, ...call }),
    /** Connects a device as any Socket.IO client would. */
    device: async (token: string) => {
      const device = await connectTestDevice(app.url, token);
      devices.push(device);
      return device;
    },
    close,
    [Symbol.asyncDispose]: async () => {
      await close();
      if (!options.dataDir) rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

export type TestDevice = Awaited<ReturnType<typeof connectTestDevice>>;

/** A bare device: keeps what it is told, says only what the test says. Resolves after its first state. */
export async function connectTestDevice(
  url: string,
  token: string,
  extraHeaders: Record<string, string> = {},
) {
  const socket = io(`${url}/devices`, {
    auth: { token },
    extraHeaders,
    transports: ['websocket'],
    reconnection: false,
    forceNew: true,
  });
  const states: StateMessage[] = [];
  const commands: CommandMessage[] = [];
  let state = emptyState;
  let refused: Error | undefined;
  socket.on('state', (message: StateMessage) => {
    states.push(message);
    state = mergeState(state, message);
  });
  socket.on('command', (message: CommandMessage) => commands.push(message));
  socket.on('connect_error', (error) => {
    refused = error;
  });
  try {
    await waitFor(() => states.length > 0 || refused !== undefined, { what: 'the first state' });
    if (refused) throw refused;
  } catch (error) {
    socket.disconnect();
    throw error;
  }
  return {
    socket,
    /** Every state message, the first one first. */
    states,
    commands,
    get state() {
      return state;
    },
    receipt: (receipts: ReceiptMessage | ReceiptMessage[] | unknown): Promise<ReceiptAnswer> =>
      socket.timeout(5_000).emitWithAck('receipt', receipts),
    /** Receipts `applied` for everything heard so far. */
    applyAll: (): Promise<ReceiptAnswer> => {
      const ids = [...states.flatMap((message) => message.causes), ...commands.map((command) => command.id)];
      return socket.timeout(5_000).emitWithAck(
        'receipt',
        ids.map((id) => ({ id, status: 'applied' })),
      );
    },
    disconnect: () => socket.disconnect(),
  };
}

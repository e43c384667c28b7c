import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { accessSync, constants, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createConnection } from 'mysql2/promise';
import { whenProcessEnds } from './reap.ts';

/**
 * A private MariaDB (or MySQL) for tests: its own folder, its own port on loopback, from the binaries that are
 * installed. The machine's own database service is never touched.
 */

const startDeadlineMs = 60_000;
const pollMs = 50;
const stopDeadlineMs = 20_000;
const startTriesMax = 3;
const connectionsMax = 500;
/** Below the range that systems take outgoing ports from, so that nobody takes ours during a restart. */
const portMin = 20_000;
const portMax = 30_000;

const sbinFolders = ['/usr/sbin', '/usr/local/sbin', '/usr/libexec'];
const user = 'fleethook';

export type MariaDbBinaries = {
  server: string;
  /** Null for MySQL, whose server makes its data folder itself. */
  install: string | null;
};

export type MariaDb = {
  /** `mysql://user:password@127.0.0.1:port`, without a database. The same after every restart. */
  url: string;
  port: number;
  /** On the same folder and port. Resolves when connections are accepted; does nothing when it runs. */
  start(): Promise<void>;
  /** An orderly end; the data stays. */
  stop(): Promise<void>;
  restart(): Promise<void>;
  /** SIGKILL, as a crash; the data stays, and `start` recovers it. */
  kill(): Promise<void>;
  /** Ends it and removes its folder. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

/** Null when what is installed is not enough to start a database. */
export function findMariaDb(): MariaDbBinaries | null {
  const install = findProgram('mariadb-install-db') ?? findProgram('mysql_install_db');
  const mariadbd = findProgram('mariadbd');
  if (mariadbd) return install ? { server: mariadbd, install } : null;
  const mysqld = findProgram('mysqld');
  return mysqld ? { server: mysqld, install } : null;
}

/** Where a program is installed; null when it is not. */
export function findProgram(name: string, path = process.env.PATH): string | null {
  const folders = [...(path ?? '').split(delimiter).filter(Boolean), ...sbinFolders];
  for (const folder of folders) {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch {
      // Not in this folder.
    }
  }
  return null;
}

export async function startMariaDb(): Promise<MariaDb> {
  const binaries = findMariaDb();
  if (!binaries) throw new Error('MariaDB is not installed: mariadbd and mariadb-install-db are needed');
  const folder = await mkdtemp(join(tmpdir(), 'fleethook-mariadb-'));
  try {
    const password = randomBytes(12).toString('hex');
    await makeDataFolder(binaries, folder, password);
    return await startOnFreePort(binaries, folder, password);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

async function makeDataFolder(binaries: MariaDbBinaries, folder: string, password: string): Promise<void> {
  await mkdir(join(folder, 'tmp'));
  await writeFile(
    join(folder, 'init.sql'),
    `create user if not exists '${user}'@'127.0.0.1' identified by '${password}';\n` +
      `grant all privileges on *.* to '${user}'@'127.0.0.1' with grant option;\n`,
  );
  const [program, args] = binaries.install
    ? [binaries.install, ['--no-defaults', '--auth-root-authentication-method=normal', '--skip-test-db']]
    : [binaries.server, ['--no-defaults', '--initialize-insecure']];
  try {
    await promisify(execFile)(program, [...args, ...storageArgs(folder)]);
  } catch (error) {
    throw new Error(`${program} failed to make a data folder`, { cause: error });
  }
}

/** Two test files may choose the same port at the same moment; whoever comes second takes another one. */
async function startOnFreePort(
  binaries: MariaDbBinaries,
  folder: string,
  password: string,
): Promise<MariaDb> {
  for (let attempt = 1; ; attempt += 1) {
    const database = mariaDbOn(binaries, folder, password, await freePort());
    try {
      await database.start();
      return database;
    } catch (error) {
      if (attempt === startTriesMax) throw error;
    }
  }
}

function mariaDbOn(binaries: MariaDbBinaries, folder: string, password: string, port: number): MariaDb {
  const url = `mysql://${user}:${password}@127.0.0.1:${port}`;
  const log = join(folder, 'error.log');
  let server: ChildProcess | null = null;
  let forget: (() => void) | null = null;

  const end = async (signal: NodeJS.Signals) => {
    const ending = server;
    if (!ending) return;
    server = null;
    if (ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = new Promise((resolve) => ending.once('exit', resolve));
    ending.kill(signal);
    const hung = setTimeout(() => ending.kill('SIGKILL'), stopDeadlineMs);
    await ended;
    clearTimeout(hung);
  };

  const start = async () => {
    if (server && server.exitCode === null && server.signalCode === null) return;
    const starting = spawn(binaries.server, serverArgs(folder, port, log), { stdio: 'ignore' });
    server = starting;
    forget ??= whenProcessEnds(() => {
      server?.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    });
    try {
      await accepting(starting, url);
    } catch (error) {
      await end('SIGKILL');
      const said = await readFile(log, 'utf8').catch(() => '');
      throw new Error(`${binaries.server} did not start:\n${said.slice(-2_000)}`, { cause: error });
    }
  };

  const stop = () => end('SIGTERM');
  const close = async () => {
    forget?.();
    await end('SIGKILL'); // what it would write down is thrown away
    await rm(folder, { recursive: true, force: true });
  };
  const restart = async () => {
    await stop();
    await start();
  };
  return { url, port, start, stop, restart, kill: () => end('SIGKILL'), close, [Symbol.asyncDispose]: close };
}

function storageArgs(folder: string): string[] {
  const args = [`--datadir=${join(folder, 'data')}`, '--loose-innodb-log-file-size=32M'];
  return process.getuid?.() === 0 ? [...args, '--user=root'] : args;
}

function serverArgs(folder: string, port: number, log: string): string[] {
  return [
    '--no-defaults',
    ...storageArgs(folder),
    '--bind-address=127.0.0.1',
    `--port=${port}`,
    '--socket=server.sock', // in the data folder: an absolute path may be too long for a socket
    `--pid-file=${join(folder, 'server.pid')}`,
    `--log-error=${log}`,
    `--tmpdir=${join(folder, 'tmp')}`,
    `--init-file=${join(folder, 'init.sql')}`,
    '--skip-name-resolve', // else 127.0.0.1 becomes localhost, which is another account
    '--skip-log-bin',
    // A commit reaches the system but not the disk: it outlives kill(), and costs no fsync.
    '--innodb-flush-log-at-trx-commit=2',
    '--innodb-buffer-pool-size=64M',
    `--max-connections=${connectionsMax}`,
    '--character-set-server=utf8mb4',
    '--performance-schema=OFF',
    '--loose-mysqlx=OFF', // MySQL's second port, the same for every server
  ];
}

/** Connects again and again until it works, the server has ended, or time is up. */
async function accepting(server: ChildProcess, url: string): Promise<void> {
  let ended: Error | null = null;
  server.once('error', (error) => {
    ended = error;
  });
  server.once('exit', (code, signal) => {
    ended = new Error(`it ended with ${code ?? signal}`);
  });
  const deadline = Date.now() + startDeadlineMs;
  for (;;) {
    try {
      const connection = await createConnection({ uri: url, connectTimeout: 2_000 });
      await connection.end();
      return;
    } catch (error) {
      if (ended) throw ended;
      if (Date.now() > deadline) throw error;
      await wait(pollMs);
    }
  }
}

/** A port that is free at the moment, for what has to be told its port beforehand. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(portMin, portMax);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/** Makes an empty database with a name of its own and answers its URL. `baseUrl` as in `MariaDb.url`. */
export async function createDatabase(baseUrl: string): Promise<string> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  const connection = await createConnection({ uri: baseUrl });
  try {
    await connection.query(`create database ${name} character set utf8mb4`);
  } finally {
    await connection.end();
  }
  const url = new URL(baseUrl);
  url.pathname = `/${name}`;
  return url.href;
}

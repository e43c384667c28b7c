/** The server as its own process, as people run it: to be killed, stopped and started again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { whenProcessEnds } from './reap.ts';
import { adminKey } from './server.ts';
import { waitFor } from './wait.ts';

const main = join(import.meta.dirname, '../../src/main.ts');
/** For what is expected to end by itself, or when it is told to. */
const endMs = 20_000;

export type ServerProcess = {
  url: string;
  child: ChildProcess;
  /** Everything it has written so far. */
  output: () => string;
  /** SIGKILL: no goodbye. Resolves when it is gone. */
  kill: () => Promise<void>;
  /** SIGTERM; answers the exit code. */
  terminate: () => Promise<number | null>;
} & AsyncDisposable;

/** Starts `fleethook <args>` in an environment of `env` alone; it is killed when the test's process ends. */
export function spawnFleethook(args: readonly string[], env: Record<string, string>) {
  const { PATH = '', NODE_COMPILE_CACHE = '' } = process.env;
  const child = spawn(process.execPath, [main, ...args], {
    env: { PATH, NODE_COMPILE_CACHE, NODE_NO_WARNINGS: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
  }
  const forget = whenProcessEnds(() => child.kill('SIGKILL'));
  const exited = once(child, 'exit').then(([code]) => {
    forget();
    return code as number | null;
  });
  return { child, output: () => text, exited };
}

/** Runs `fleethook <args>` to its end; throws when it goes on and on. */
export async function runFleethook(args: readonly string[], env: Record<string, string>) {
  const { child, output } = spawnFleethook(args, env);
  const tooLong = setTimeout(() => child.kill('SIGKILL'), endMs);
  const [code] = await once(child, 'close');
  clearTimeout(tooLong);
  if (child.signalCode === 'SIGKILL')
    throw new Error(`fleethook ${args.join(' ')} does not end: ${output()}`);
  return { code, said: output() };
}

/** Starts the server and waits until it is up. */
export async function spawnServer(env: Record<string, string>): Promise<ServerProcess> {
  const { child, output, exited } = spawnFleethook(['serve'], {
    PORT: '0',
    HOST: '127.0.0.1',
    FLEETHOOK_ADMIN_KEY: adminKey,
    RATE_LIMIT_TRIGGERS: '0',
    RATE_LIMIT_API: '0',
    ...env,
  });
  const urlOf = () => /"url":"([^"]+)"/.exec(output())?.[1];
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal);
    const hung = setTimeout(() => child.kill('SIGKILL'), endMs);
    const code = await exited;
    clearTimeout(hung);
    return code;
  };
  const kill = async () => void (await end('SIGKILL'));
  try {
    await waitFor(() => urlOf() !== undefined || isOver(), {
      deadlineMs: 40_000,
      what: () => `the server: ${output()}`,
    });
  } finally {
    if (urlOf() === undefined) await kill();
  }
  const url = urlOf();
  if (!url) throw new Error(`the server did not start: ${output()}`);
  return {
    url,
    child,
    output,
    kill,
    terminate: () => end('SIGTERM'),
    [Symbol.asyncDispose]: kill,
  };
}

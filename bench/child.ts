/** Child processes that answer questions over IPC: the servers that are measured, and the load. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

type Ask = { id: number; name: string; input: unknown[] };
type Answer = { id: number; value?: unknown; error?: string };

/** What a child answers, by name; input and answer must survive JSON. */
export type Handlers = Record<string, (...input: never[]) => unknown>;

export type Child<H extends Handlers> = {
  ask<N extends keyof H & string>(name: N, ...input: Parameters<H[N]>): Promise<Awaited<ReturnType<H[N]>>>;
} & AsyncDisposable;

export type ChildOptions = {
  args?: readonly string[];
  env?: Record<string, string>;
  /** The only core it runs on, null for any. */
  core: number | null;
};

const endMsMax = 5_000;
/** The id of the first answer, which nobody asked for: the child is ready. */
const readyId = 0;

/**
 * Starts `bench/<file>` and waits until it answers. It ends when it is disposed of, and with this process,
 * however that ends. Node itself raises the number of files a process may open as far as the system lets it.
 */
export async function startChild<H extends Handlers>(file: string, options: ChildOptions): Promise<Child<H>> {
  const { args = [], env = {}, core } = options;
  const node = ['--expose-gc', '--disable-warning=ExperimentalWarning'];
  const { FLEETHOOK_ADMIN_KEY: _key, PATH = '' } = process.env;
  const child = fork(join(import.meta.dirname, file), args, {
    env: { PATH, NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    // taskset starts Node in its own place, so the channel stays as it is.
    ...(core === null
      ? { execArgv: node }
      : { execPath: 'taskset', execArgv: ['-c', String(core), process.execPath, ...node] }),
  });
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  const what = [file, ...args].join(' ');
  let lastId = readyId;

  const exited = once(child, 'exit').then(([code, signal]) => {
    const error = new Error(`${what} ended with ${signal ?? code}`);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  });
  child.on('message', (answer: Answer) => {
    const asker = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (answer.error === undefined) asker?.resolve(answer.value);
    else asker?.reject(new Error(`${what}: ${answer.error}`));
  });
  await new Promise((resolve, reject) => waiting.set(readyId, { resolve, reject }));

  return {
    ask: (name, ...input) =>
      new Promise((resolve, reject) => {
        lastId += 1;
        waiting.set(lastId, { resolve: (value) => resolve(value as never), reject });
        child.send({ id: lastId, name, input } satisfies Ask);
      }),
    [Symbol.asyncDispose]: async () => {
      if (child.connected) child.disconnect();
      const late = setTimeout(() => child.kill('SIGKILL'), endMsMax);
      await exited;
      clearTimeout(late);
    },
  };
}

/** The child's side: says that it is ready and answers from now on. Ends the process when the parent is gone. */
export function answerAsks(handlers: Handlers): void {
  const send = (answer: Answer) => process.connected && process.send?.(answer);
  process.on('message', ({ id, name, input }: Ask) => {
    const work = async () => handlers[name]?.(...(input as never[]));
    work().then(
      (value) => send({ id, value }),
      (error: unknown) => send({ id, error: error instanceof Error ? String(error.stack) : String(error) }),
    );
  });
  process.on('disconnect', () => process.exit());
  send({ id: readyId });
}

/** What the tests of the management API make again and again. */
import { after, before } from 'node:test';
import { type Answer, type Call, request, type startServer, type TestServer } from './server.ts';

type Start = (options?: Parameters<typeof startServer>[0]) => Promise<TestServer>;

/** One server for all the tests of a suite. Ask for it inside of a test, not before. */
export function oneServer(start: Start, options?: Parameters<typeof startServer>[0]): () => TestServer {
  let server: TestServer | undefined;
  before(async () => {
    server = await start(options);
  });
  after(() => server?.[Symbol.asyncDispose]());
  return () => {
    if (!server) throw new Error('the server is started before the first test, not while tests are defined');
    return server;
  };
}

/** The body of an answer that has the status; throws with the whole answer when it has another. */
export function bodyOf(answer: Answer, status: number) {
  if (answer.status === status) return answer.body;
  throw new Error(`${status} was expected, not ${answer.status} ${JSON.stringify(answer.body)}`);
}

/** The status with the code of the problem or of the refused trigger, undefined where it is none. */
export function codeOf({ status, body }: Answer): [number, string | undefined] {
  return [status, body?.code ?? body?.error?.code];
}

export type Tenant = {
  projectId: number;
  keyId: string;
  /** The secret of its key. */
  key: string;
  /** A management request with that key. */
  api(path: string, call?: Call): Promise<Answer>;
  /** The body of what was made; throws unless it is 201. */
  make(path: string, body: unknown): ReturnType<typeof bodyOf>;
};

/** A project of its own and a key that belongs to it. */
export async function makeTenant(server: TestServer, name: string, scopes: string[]): Promise<Tenant> {
  const project = bodyOf(await server.api('/projects', { body: { name } }), 201);
  const made = await makeKey(server, { name: `${name} key`, scopes }, project.id);
  const api = (path: string, call?: Call) => server.api(path, { key: made.key, ...call });
  return {
    projectId: project.id,
    keyId: made.id,
    key: made.key,
    api,
    make: async (path, body) => bodyOf(await api(path, { body }), 201),
  };
}

let keys = 0;

/** A key made by the admin key, by default in project 1. */
export async function makeKey(server: TestServer, body: Record<string, unknown>, projectId = 1) {
  keys += 1;
  const headers = { 'x-project-id': String(projectId) };
  return bodyOf(await server.api('/keys', { body: { name: `key ${keys}`, ...body }, headers }), 201);
}

/** Every item of a list, page by page. */
export async function listAll(api: Tenant['api'], path: string, limit = 200) {
  const items: ReturnType<typeof bodyOf>[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const query: string = `${path.includes('?') ? '&' : '?'}limit=${limit}${cursor && `&cursor=${cursor}`}`;
    const page = bodyOf(await api(path + query), 200);
    items.push(...page.items);
    cursor = page.next_cursor;
  }
  return items;
}

/** A request to the server without any key. */
export function asGuest(server: TestServer, path: string, call?: Call): Promise<Answer> {
  return request(server.url + path, { key: null, ...call });
}

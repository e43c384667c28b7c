/** Finds or makes the devices of a simulated fleet over the management API, and gets a token for each. */
import { setTimeout as sleep } from 'node:timers/promises';

export type EnrolledDevice = { id: number; name: string; token: string };

export type EnrollOptions = {
  url: string;
  /** A key with scope `manage`. */
  key: string;
  count: number;
  /** Devices are called `<prefix>-1` and so on; those there are get a new token, the others are made. */
  prefix?: string;
  onProgress?: (ready: number, count: number) => void;
  signal?: AbortSignal;
};

const pageMax = 200;
const createMax = 1_000;
const rotationsInFlightMax = 16;
const requestMsMax = 60_000;
/** When the server says "too many" without saying for how long. */
const tooManyMsDefault = 1_000;

type Found = { id: number; name: string; group_id?: number | null };
type Call = (method: string, path: string, body?: unknown) => Promise<Record<string, unknown>>;

/** Answers the devices in the order of their numbers. Throws with the request and the server's own words. */
export async function enrollDevices(options: EnrollOptions): Promise<EnrolledDevice[]> {
  const { count, prefix = 'sim' } = options;
  const call = createCall(options);
  const wanted = Array.from({ length: count }, (_, index) => `${prefix}-${index + 1}`);
  const found = await findDevices(call, prefix);
  const ready = new Map<string, EnrolledDevice>();
  const keep = (device: EnrolledDevice) => {
    ready.set(device.name, device);
    options.onProgress?.(ready.size, count);
  };

  const rotating = wanted.flatMap((name) => found.get(name) ?? []);
  const lane = async () => {
    for (let device = rotating.shift(); device; device = rotating.shift()) {
      const { token } = await call('POST', `/api/v1/devices/${device.id}/rotate-token`);
      keep(readDevice({ ...device, token }));
    }
  };
  await Promise.all(Array.from({ length: rotationsInFlightMax }, lane));

  const missing = wanted.filter((name) => !found.has(name));
  if (missing.length > 0) {
    const known = [...found.values()].find((device) => typeof device.group_id === 'number');
    const group = known?.group_id ?? (await call('POST', '/api/v1/groups', { name: `${prefix} fleet` })).id;
    for (let start = 0; start < missing.length; start += createMax) {
      const names = missing.slice(start, start + createMax);
      const made = await call(
        'POST',
        '/api/v1/devices',
        names.map((name) => ({ name, group_id: group, tags: [prefix] })),
      );
      for (const device of itemsOf(made)) keep(readDevice(device));
    }
  }
  return wanted.map((name) => {
    const device = ready.get(name);
    if (!device) throw new Error(`The server made no device called ${name}.`);
    return device;
  });
}

/** By name; of several with one name the first. */
async function findDevices(call: Call, prefix: string): Promise<Map<string, Found>> {
  const found = new Map<string, Found>();
  for (let cursor: unknown = null; ; ) {
    const query = new URLSearchParams({ limit: String(pageMax), q: prefix });
    if (typeof cursor === 'string') query.set('cursor', cursor);
    const page = await call('GET', `/api/v1/devices?${query}`);
    for (const item of itemsOf(page) as Found[]) if (!found.has(item.name)) found.set(item.name, item);
    cursor = page.next_cursor;
    if (typeof cursor !== 'string') return found;
  }
}

function itemsOf(answer: Record<string, unknown>): unknown[] {
  if (!Array.isArray(answer.items)) throw new Error('The server answered a list without items.');
  return answer.items;
}

function readDevice(value: unknown): EnrolledDevice {
  const { id, name, token } = value as Partial<EnrolledDevice>;
  if (typeof id !== 'number' || typeof name !== 'string' || typeof token !== 'string') {
    throw new Error('The server answered a device without id, name or token.');
  }
  return { id, name, token };
}

/** One request and its JSON; waits as long as the server asks for when there were too many. */
function createCall({ url, key, signal }: EnrollOptions): Call {
  return async function call(method, path, body) {
    const what = `${method} ${path.replace(/\?.*/, '')}`;
    for (;;) {
      const late = AbortSignal.timeout(requestMsMax);
      const response = await fetch(new URL(url.replace(/\/+$/, '') + path), {
        method,
        headers: {
          authorization: `Bearer ${key}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        body: body === undefined ? null : JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, late]) : late,
      }).catch((error: unknown) => {
        throw new Error(`${what}: ${url} can't be reached: ${reasonOf(error)}`, { cause: error });
      });
      const text = await response.text();
      if (response.status === 429) {
        const seconds = Number(response.headers.get('retry-after'));
        await sleep(seconds > 0 ? seconds * 1000 : tooManyMsDefault, undefined, signal ? { signal } : {});
        continue;
      }
      const answer = parse(text);
      if (!response.ok || !answer) {
        const code = typeof answer?.code === 'string' ? ` ${answer.code}` : '';
        const detail = typeof answer?.detail === 'string' ? answer.detail : text.slice(0, 200);
        throw new Error(`${what} was answered with ${response.status}${code}: ${detail}`);
      }
      return answer;
    }
  };
}

/** `fetch` hides the reason one or two causes deep. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause: unknown = error.cause;
  if (cause instanceof AggregateError) return reasonOf(cause.errors[0]);
  return cause instanceof Error ? reasonOf(cause) : error.message;
}

function parse(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

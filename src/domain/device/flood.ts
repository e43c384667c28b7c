/** How fast one device may speak: buckets that fill with time, so that a burst passes and a flood does not. Pure. */

const messagesPerSecond = 100;
const burst = 500;
const bytesPerSecond = 16 * 1_024 * 1_024;
const burstBytes = 64 * 1_024 * 1_024;

export type Flood = {
  /** False when the device has used up its share for now; then nothing was taken. */
  take(bytes?: number): boolean;
};

/** `now` in milliseconds of any clock. */
export function createFlood(now: () => number): Flood {
  let messages = burst;
  let bytes = burstBytes;
  let filledAt = now();
  return {
    take(size = 0) {
      const time = now();
      const seconds = Math.max(0, time - filledAt) / 1_000;
      messages = Math.min(burst, messages + seconds * messagesPerSecond);
      bytes = Math.min(burstBytes, bytes + seconds * bytesPerSecond);
      filledAt = time;
      if (messages < 1 || bytes < size) return false;
      messages -= 1;
      bytes -= size;
      return true;
    },
  };
}

export type Floods = { take(deviceId: number, bytes: number): boolean };

/** Devices are forgotten when so many have spoken: a bucket that is full again is as good as a new one. */
const floodsMax = 10_000;

/** A bucket for each device, for doors that know no connections. */
export function createFloods(now: () => number): Floods {
  let floods = new Map<number, Flood>();
  return {
    take(deviceId, bytes) {
      const flood = floods.get(deviceId) ?? createFlood(now);
      if (floods.size >= floodsMax) floods = new Map();
      floods.set(deviceId, flood);
      return flood.take(bytes);
    },
  };
}

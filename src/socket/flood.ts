/** How fast one device may speak: a bucket that fills with time, so that a burst passes and a flood does not. */

const messagesPerSecond = 100;
const burst = 500;

export type Flood = {
  /** False when the device has used up its share for now. */
  take(): boolean;
};

export function createFlood(now: () => number = () => performance.now()): Flood {
  let left = burst;
  let filledAt = now();
  return {
    take() {
      const time = now();
      left = Math.min(burst, left + ((time - filledAt) / 1_000) * messagesPerSecond);
      filledAt = time;
      if (left < 1) return false;
      left -= 1;
      return true;
    },
  };
}

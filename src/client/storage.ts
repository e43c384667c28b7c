/**
 * Where a device keeps what it must not forget: its state, the commands it has begun and done, and the
 * receipts nobody has taken yet. One small text; the library writes one at a time and reads it once.
 */
export type DeviceStorage = {
  /** The text of the last `save`, or null when there was none. */
  load: () => Promise<string | null>;
  /** Resolves when the text would survive a power cut; all of it or nothing. */
  save: (text: string) => Promise<void>;
};

/** Outlives a connection and a `close`, not the process. */
export function memoryStorage(): DeviceStorage {
  let kept: string | null = null;
  return {
    load: async () => kept,
    save: async (text) => {
      kept = text;
    },
  };
}

/** What we need of `localStorage`. */
export type WebStorageArea = {
  getItem: (key: string) => string | null;
  setItem: (key: string, value: string) => void;
};

/** In a browser: `webStorage(localStorage, 'fleethook:lobby')`. One key for each device. */
export function webStorage(area: WebStorageArea, key: string): DeviceStorage {
  return {
    load: async () => area.getItem(key),
    save: async (text) => area.setItem(key, text),
  };
}

/** Why an alarm is over. */
export const clearedReasons = [
  /** A message met `clear_when`. */
  'condition',
  /** Its rule has no `clear_when`: it was over as it was told. */
  'no_clear_when',
  /** Somebody cleared it by hand. */
  'person',
  'rule_deleted',
  'rule_disabled',
  /** It looks at other messages now, or at messages of other devices, or has no `clear_when` any more. */
  'rule_changed',
  'device_deleted',
  /** It is of another type now. */
  'device_changed',
] as const;
export type ClearedReason = (typeof clearedReasons)[number];

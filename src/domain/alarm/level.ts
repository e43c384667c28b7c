/** How bad an alarm is, the worst first. */
export const alarmLevels = ['emergency', 'critical', 'alert', 'warning', 'info'] as const;
export type AlarmLevel = (typeof alarmLevels)[number];

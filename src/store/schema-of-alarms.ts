/** The tables of alarms, as schema.ts has the others. */
export type AlarmTables = {
  alarm_rules: {
    id: string;
    project_id: number;
    name: string;
    level: string;
    type_id: string;
    message_type: string;
    when_json: string;
    clear_when_json: string | null;
    webhooks_json: string;
    actions_json: string;
    cooldown_seconds: number;
    enabled: number;
    /** Why nobody is told of its alarms any more. */
    problem: string | null;
    created_at: number;
    updated_at: number;
  };
  alarms: {
    id: string;
    project_id: number;
    rule_id: string;
    rule_name: string;
    level: string;
    device_id: number;
    device_json: string;
    message_type: string;
    /** The message that raised it. */
    event_id: string | null;
    /** Empty when the message is large: then it is in the event. */
    observation_json: string;
    active: number;
    first_seen: number;
    last_seen: number;
    /** 1 when somebody was told. */
    notified: number;
    /** Until then no other alarm of the rule and the device is told of. */
    quiet_until: number;
    note: string | null;
    noted_by: string | null;
    noted_at: number | null;
    cleared_by: string | null;
    cleared_at: number | null;
    cleared_reason: string | null;
    /** Of the list that raised it, which one it was. */
    element: number | null;
    /** The webhooks that its rule named, where the rule is gone and it is not over yet. */
    webhooks_json: string | null;
  };
  /** Actions that alarms are about to fire. */
  firings: { id: string; project_id: number; event_id: string; alarm_id: string; payload_json: string };
};

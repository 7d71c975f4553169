"""The statements written by hand, each with the reason why the ORM was not enough."""

# Read all that a gate must know in one round trip, because every process does so each second: the stage of each
# rollout, the hard limit of errors there (until a rate of errors judges, if one does), and whether serving is on.
ROLLOUT_STATES = """
SELECT rollout.name, rollout.stage, rollout.percent, rollout.visit, rollout.attempt,
       rollout.control_requests, rollout.control_errors,
       errors.at_most, policy.window_minutes,
       CASE WHEN rate.id IS NOT NULL THEN policy.first_requests END, coalesce(policy.hold_back_percent, 0),
       EXISTS (SELECT FROM rollout_activation WHERE part = 'serving' AND is_on)
  FROM rollout_rollout rollout
  LEFT JOIN rollout_stagepolicy policy ON policy.rollout_id = rollout.id AND policy.stage = rollout.stage
  LEFT JOIN rollout_guardpolicy errors ON errors.policy_id = policy.id AND errors.guard = 'errors'
                                      AND errors.is_on AND errors.leads <> 'warn'
  LEFT JOIN rollout_guardpolicy rate ON rate.policy_id = policy.id AND rate.guard = 'error_rate'
                                    AND rate.is_on AND rate.leads <> 'warn'
 WHERE rollout.archived_at IS NULL"""

# End a slow read of the states after 2 s: the gate is served better by the last ones. The ORM has no such setting.
LIMIT_STATEMENT_TIME = "SET LOCAL statement_timeout = '2s'"

# Store the records of all rollouts after a tick, in one statement, because there may be hundreds. A record is stored
# only if it continues the one that was read: of two workers with the same tick, one stores each record. The ORM's bulk
# update has no such condition.
STORE_EVIDENCE = """
INSERT INTO rollout_visitevidence AS stored (rollout_id, visit, tick, record, read_at)
SELECT rollout_id, visit, tick, record, CASE WHEN is_read THEN now() ELSE coalesce(read_at, now()) END
  FROM unnest(%(rollouts)s::bigint[], %(visits)s::uuid[], %(ticks)s::bigint[], %(records)s::bytea[],
              %(are_read)s::boolean[], %(read_at)s::timestamptz[])
       new(rollout_id, visit, tick, record, is_read, read_at)
    ON CONFLICT (rollout_id) DO UPDATE
   SET visit = excluded.visit, tick = excluded.tick, record = excluded.record, judged_at = now(),
       read_at = excluded.read_at
 WHERE stored.tick = excluded.tick - 1
RETURNING rollout_id"""

# Read the last reading in each equal part of a stage visit, for the charts. Each part is one descent of the index, so
# the page of a rollout that ran for days costs no more than that of a new one. The ORM has no lateral join.
READINGS_OVER_TIME = """
SELECT judged.name, reading.at, reading.value, reading."limit", reading.control, reading.bound, reading.verdict
  FROM unnest(%(names)s::text[]) AS judged (name)
 CROSS JOIN generate_series(0, %(parts)s - 1) AS part
 CROSS JOIN LATERAL (
       SELECT * FROM rollout_guardreading
        WHERE rollout_id = %(rollout)s AND name = judged.name AND epoch >= %(epoch)s
          AND at >= %(begins_at)s + part * make_interval(secs => %(part_seconds)s)
          AND at < %(begins_at)s + (part + 1) * make_interval(secs => %(part_seconds)s)
        ORDER BY at DESC LIMIT 1) reading
 ORDER BY judged.name, reading.at"""

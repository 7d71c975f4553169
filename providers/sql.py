"""The statements written by hand, and why the ORM was not enough."""

# Changes of configuration come one after the other, since each brings all slots up to date from what it sees. The
# transaction's end releases the lock, so that it works behind PgBouncer.
ONE_CHANGE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('slipway.fleet'))"

# Set-based, in one round trip: a slot per account and sport, at the smallest interval of its members; a slot that
# gained its first member is due at once, one that lost its last is due never.
SYNC_SLOTS = """
WITH wanted AS (
    SELECT p.adapter, p.base_url, p.credential_env, s.sport,
           min(s.poll_interval_seconds) AS interval_seconds, min(s.timeout_seconds) AS timeout_seconds
      FROM provider_states s JOIN providers_provider p ON p.name = s.provider_name
     WHERE s.is_enabled AND s.status <> 'maintenance'
     GROUP BY p.adapter, p.base_url, p.credential_env, s.sport
), stopped AS (
    UPDATE providers_pollslot slot SET next_poll_at = NULL
     WHERE next_poll_at IS NOT NULL AND NOT EXISTS (
           SELECT FROM wanted w WHERE (w.adapter, w.base_url, w.credential_env, w.sport)
                                    = (slot.adapter, slot.base_url, slot.credential_env, slot.sport))
)
INSERT INTO providers_pollslot AS slot
       (adapter, base_url, credential_env, sport, interval_seconds, timeout_seconds, next_poll_at)
SELECT adapter, base_url, credential_env, sport, interval_seconds, timeout_seconds, now() FROM wanted w
 WHERE NOT EXISTS (  -- a slot that is as it should be is not even locked, so that its claims and results go on
       SELECT FROM providers_pollslot s
        WHERE (s.adapter, s.base_url, s.credential_env, s.sport) = (w.adapter, w.base_url, w.credential_env, w.sport)
          AND (s.interval_seconds, s.timeout_seconds) = (w.interval_seconds, w.timeout_seconds)
          AND s.next_poll_at IS NOT NULL)
 ORDER BY adapter, base_url, credential_env, sport
    ON CONFLICT (adapter, base_url, credential_env, sport) DO UPDATE
   SET interval_seconds = excluded.interval_seconds, timeout_seconds = excluded.timeout_seconds,
       next_poll_at = least(coalesce(slot.next_poll_at, now()),
                            now() + make_interval(secs => excluded.interval_seconds))
 WHERE slot.next_poll_at IS NULL
    OR (slot.interval_seconds, slot.timeout_seconds) <> (excluded.interval_seconds, excluded.timeout_seconds)"""

# The first poll comes at once when a state is enabled, and when an operator asks for it.
MAKE_DUE = """
UPDATE providers_pollslot slot SET next_poll_at = now()
  FROM provider_states s JOIN providers_provider p ON p.name = s.provider_name
 WHERE s.id = ANY(%(states)s) AND slot.next_poll_at IS NOT NULL
   AND (p.adapter, p.base_url, p.credential_env, s.sport)
     = (slot.adapter, slot.base_url, slot.credential_env, slot.sport)"""

# One round trip claims what is due, and SKIP LOCKED sends a second worker on to the next slots. The lease covers the
# wait for the deadline, the poll's own time limit and the storing of its answer. Nothing is claimed while polling is
# switched off. `everything`: a round asked for by hand takes slots that are not due too.
CLAIM_DUE = """
WITH due AS MATERIALIZED (
    SELECT slot.id FROM providers_pollslot slot
     WHERE (slot.next_poll_at <= now() + %(horizon)s OR (%(everything)s AND slot.next_poll_at IS NOT NULL))
       AND (slot.lease_until IS NULL OR slot.lease_until < now())
       AND (%(sport)s::text IS NULL OR slot.sport = %(sport)s)
       AND (%(provider)s::text IS NULL OR EXISTS (
            SELECT FROM providers_provider p WHERE p.name = %(provider)s
               AND (p.adapter, p.base_url, p.credential_env)
                 = (slot.adapter, slot.base_url, slot.credential_env)))
       AND EXISTS (SELECT FROM rollout_activation WHERE part = 'polling' AND is_on)
     ORDER BY slot.next_poll_at LIMIT %(batch)s FOR UPDATE OF slot SKIP LOCKED
)
UPDATE providers_pollslot slot
   SET lease_until = now() + %(horizon)s + make_interval(secs => slot.timeout_seconds) + %(storing)s,
       fence = slot.fence + 1
  FROM due WHERE slot.id = due.id
RETURNING slot.id, slot.fence, slot.adapter, slot.base_url, slot.credential_env, slot.sport, slot.timeout_seconds,
          slot.next_poll_at,
          CASE WHEN %(everything)s THEN 0 ELSE extract(epoch FROM slot.next_poll_at - now()) END::float8,
          coalesce((SELECT jsonb_object_agg(s.provider_name, s.id)
             FROM provider_states s JOIN providers_provider p ON p.name = s.provider_name
            WHERE s.is_enabled AND s.status <> 'maintenance' AND s.sport = slot.sport
              AND (p.adapter, p.base_url, p.credential_env)
                = (slot.adapter, slot.base_url, slot.credential_env)), '{}')::text"""

# In the order in which the verbs lock: states first, then slots.
HOLD_STATES = "SELECT FROM provider_states WHERE id = ANY(%(states)s) ORDER BY id FOR NO KEY UPDATE"

# Takes the slot for this transaction if its fence is still the claim's.
HOLD_CLAIM = "SELECT FROM providers_pollslot WHERE id = %(slot)s AND fence = %(fence)s FOR UPDATE"

# A deadline that was set meanwhile (poll now, a new member) stands. Else the next one lies on the slot's own grid, so
# that lateness never adds up and missed ticks are not replayed.
FINISH_CLAIM = """
UPDATE providers_pollslot SET lease_until = NULL, next_poll_at = CASE
       WHEN next_poll_at > now() OR next_poll_at <> %(deadline)s THEN next_poll_at
       ELSE next_poll_at + make_interval(secs => interval_seconds
            * (floor(extract(epoch FROM now() - next_poll_at) / interval_seconds) + 1)) END
 WHERE id = %(slot)s AND fence = %(fence)s"""

# A worker that stops gives back what it has not begun.
RELEASE_CLAIM = "UPDATE providers_pollslot SET lease_until = NULL WHERE id = %(slot)s AND fence = %(fence)s"

# ON CONFLICT with a condition: a row that did not change is not rewritten. The ORM's bulk_create rewrites all.
STORE_EVENTS = """
WITH incoming AS (
    SELECT * FROM unnest(%(ids)s::text[], %(homes)s::text[], %(aways)s::text[], %(starts)s::timestamptz[])
                  AS t (external_id, home_team, away_team, starts_at)
), stored AS (
    INSERT INTO providers_event AS event (source, external_id, sport, home_team, away_team, starts_at)
    SELECT %(source)s, external_id, %(sport)s, home_team, away_team, starts_at FROM incoming
        ON CONFLICT (source, external_id) DO UPDATE
       SET home_team = excluded.home_team, away_team = excluded.away_team, starts_at = excluded.starts_at
     WHERE (event.home_team, event.away_team, event.starts_at)
        <> (excluded.home_team, excluded.away_team, excluded.starts_at)
    RETURNING external_id, id
)
SELECT external_id, id FROM stored
 UNION SELECT external_id, id FROM providers_event WHERE source = %(source)s AND external_id = ANY(%(ids)s)"""

LINES = """
    SELECT * FROM unnest(%(states)s::bigint[], %(events)s::bigint[], %(bookmakers)s::text[], %(markets)s::text[],
                         %(players)s::text[], %(sides)s::text[], %(points)s::float8[], %(prices)s::float8[])
                  AS t (state_id, event_id, bookmaker, market, player, side, point, price)"""

# Answers, per state, how many of its lines were new. xmax is 0 for a row that was inserted, not updated.
STORE_LINES = f"""
WITH incoming AS ({LINES}), stored AS (
    INSERT INTO providers_propline AS line (state_id, event_id, bookmaker, market, player, side, point, price)
    SELECT state_id, event_id, bookmaker, market, player, side, point, price FROM incoming
        ON CONFLICT (state_id, event_id, bookmaker, market, player, point, side) DO UPDATE
       SET price = excluded.price, changed_at = now(), removed_at = NULL
     WHERE line.price <> excluded.price OR line.removed_at IS NOT NULL
    RETURNING state_id, xmax = 0 AS is_new
)
SELECT state_id, count(*) FILTER (WHERE is_new) FROM stored GROUP BY state_id"""

# Only what a good answer spoke of can have disappeared from it: game lines of the events it listed with bookmakers,
# player lines of the events whose own answer was good, and everything of events that it listed no more.
MARK_REMOVED = f"""
WITH incoming AS ({LINES})
UPDATE providers_propline line SET removed_at = now(), changed_at = now()
  FROM providers_event event
 WHERE event.id = line.event_id AND line.state_id = ANY(%(members)s) AND line.removed_at IS NULL
   AND ((%(is_listed)s AND event.external_id <> ALL(%(listed)s::text[]))
     OR (line.player = '' AND event.external_id = ANY(%(offered)s::text[]))
     OR (line.player <> '' AND event.external_id = ANY(%(player_offered)s::text[])))
   AND NOT EXISTS (
       SELECT FROM incoming i
        WHERE (i.state_id, i.event_id, i.bookmaker, i.market, i.player, i.side)
            = (line.state_id, line.event_id, line.bookmaker, line.market, line.player, line.side)
          AND i.point IS NOT DISTINCT FROM line.point)"""

# Counters are added to in the database, since several calls of one state never wait for each other.
COUNT_POLL = """
UPDATE provider_states SET
       last_fetch_attempt = now(), updated_at = now(), last_error = %(error)s,
       consecutive_errors = CASE WHEN %(is_good)s THEN 0 ELSE consecutive_errors + 1 END,
       average_response_time_ms = (average_response_time_ms * total_requests + %(sum_ms)s)
                                / (total_requests + %(calls)s),
       total_requests = total_requests + %(calls)s, successful_requests = successful_requests + %(good_calls)s,
       failed_requests = failed_requests + %(calls)s - %(good_calls)s,
       last_successful_fetch = CASE WHEN %(is_good)s THEN now() ELSE last_successful_fetch END,
       total_props_fetched = total_props_fetched + %(lines)s, unique_props_seen = unique_props_seen + %(new_lines)s,
       last_prop_count = CASE WHEN %(is_good)s THEN %(lines)s ELSE last_prop_count END
 WHERE id = %(state)s"""

# No call was made, so nothing is counted; the row is rewritten only when the reason is new.
NOTE_PROBLEM = """
UPDATE provider_states SET last_error = %(problem)s, updated_at = now()
 WHERE id = %(state)s AND last_error <> %(problem)s"""

# Compare-and-set, with the status as it was, which UPDATE ... RETURNING of the ORM cannot answer.
CHANGE_STATUS = """
UPDATE provider_states state SET status = %(to)s, updated_at = now()
  FROM (SELECT id, status FROM provider_states WHERE id = ANY(%(states)s) ORDER BY id FOR UPDATE) was
 WHERE state.id = was.id AND was.status <> %(to)s AND (%(only_from)s::text IS NULL OR was.status = %(only_from)s)
RETURNING state.provider_name, state.sport, was.status"""

# In batches, so that a delete never holds many rows at once. CTID, since the logs have no other handle on "oldest".
PRUNE = """
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
       SELECT ctid FROM {table} WHERE {column} < now() - make_interval(days => %(days)s)
        LIMIT %(batch)s FOR UPDATE SKIP LOCKED))"""

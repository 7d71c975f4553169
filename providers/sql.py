"""The statements written by hand, and why the ORM was not enough."""

# Changes of configuration come one after the other, since each brings all slots up to date from what it sees. The
# transaction's end releases the lock, so that it works behind PgBouncer.
ONE_CHANGE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('slipway.fleet'))"

# Set-based, in one round trip: a slot per account and sport, at the smallest values of its members, the requests per
# minute over all sports of the account. A slot that gained its first member is due at once and taken for well; one that
# lost its last is due never. A new interval counts from the last poll on, so that it takes effect within a tick.
SYNC_SLOTS = """
WITH wanted AS (
    SELECT p.adapter, p.base_url, p.credential_env, s.sport,
           min(s.poll_interval_seconds) AS interval_seconds, min(s.timeout_seconds) AS timeout_seconds,
           min(s.max_retries) AS max_retries,
           min(min(p.requests_per_minute)) OVER (PARTITION BY p.adapter, p.base_url, p.credential_env)
               AS requests_per_minute
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
       (adapter, base_url, credential_env, sport, interval_seconds, effective_interval_seconds, timeout_seconds,
        max_retries, requests_per_minute, next_poll_at)
SELECT adapter, base_url, credential_env, sport, interval_seconds, interval_seconds, timeout_seconds,
       max_retries, requests_per_minute, now() FROM wanted w
 WHERE NOT EXISTS (  -- a slot that is as it should be is not even locked, so that its claims and results go on
       SELECT FROM providers_pollslot s
        WHERE (s.adapter, s.base_url, s.credential_env, s.sport) = (w.adapter, w.base_url, w.credential_env, w.sport)
          AND (s.interval_seconds, s.timeout_seconds, s.max_retries, s.requests_per_minute)
            = (w.interval_seconds, w.timeout_seconds, w.max_retries, w.requests_per_minute)
          AND s.next_poll_at IS NOT NULL)
 ORDER BY adapter, base_url, credential_env, sport
    ON CONFLICT (adapter, base_url, credential_env, sport) DO UPDATE
   SET interval_seconds = excluded.interval_seconds, timeout_seconds = excluded.timeout_seconds,
       max_retries = excluded.max_retries, requests_per_minute = excluded.requests_per_minute,
       backoff_level = CASE WHEN slot.next_poll_at IS NULL THEN 0 ELSE slot.backoff_level END,
       effective_interval_seconds = CASE WHEN slot.interval_seconds = excluded.interval_seconds
                                         THEN slot.effective_interval_seconds ELSE excluded.interval_seconds END,
       next_poll_at = CASE
           WHEN slot.next_poll_at IS NULL THEN now()
           WHEN slot.interval_seconds = excluded.interval_seconds THEN slot.next_poll_at
           WHEN slot.lease_until > now() AND slot.next_poll_at <= now() + interval '8 seconds'  -- being polled
           THEN slot.next_poll_at + make_interval(secs => excluded.interval_seconds)
           WHEN slot.backoff_level > 0
           THEN least(slot.next_poll_at, now() + make_interval(secs => excluded.interval_seconds))
           ELSE least(now() + make_interval(secs => excluded.interval_seconds),
                      greatest(now(), slot.next_poll_at + make_interval(
                          secs => excluded.interval_seconds - slot.effective_interval_seconds))) END
 WHERE slot.next_poll_at IS NULL
    OR (slot.interval_seconds, slot.timeout_seconds, slot.max_retries, slot.requests_per_minute)
    <> (excluded.interval_seconds, excluded.timeout_seconds, excluded.max_retries, excluded.requests_per_minute)"""

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
          slot.max_retries, slot.requests_per_minute, slot.next_poll_at,
          CASE WHEN %(everything)s THEN 0 ELSE extract(epoch FROM slot.next_poll_at - now()) END::float8,
          coalesce((SELECT jsonb_object_agg(s.provider_name, s.id)
             FROM provider_states s JOIN providers_provider p ON p.name = s.provider_name
            WHERE s.is_enabled AND s.status <> 'maintenance' AND s.sport = slot.sport
              AND (p.adapter, p.base_url, p.credential_env)
                = (slot.adapter, slot.base_url, slot.credential_env)), '{}')::text"""

# In the order in which the verbs lock: states first, then slots.
HOLD_STATES = """
SELECT id, status, consecutive_errors FROM provider_states WHERE id = ANY(%(states)s) ORDER BY id FOR NO KEY UPDATE"""

# Takes the slot for this transaction if its fence is still the claim's.
HOLD_CLAIM = """
SELECT now(), next_poll_at, interval_seconds, effective_interval_seconds, backoff_level, credits_per_poll,
       EXISTS (SELECT FROM rollout_activation WHERE part = 'polling' AND is_on)
  FROM providers_pollslot WHERE id = %(slot)s AND fence = %(fence)s FOR UPDATE"""

# What the account's other slots use, at the operators' intervals.
CREDITS_PER_SECOND = """
SELECT coalesce(sum(credits_per_poll / interval_seconds), 0) FROM providers_pollslot
 WHERE (adapter, base_url, credential_env) = (%(adapter)s, %(base_url)s, %(credential_env)s)
   AND id <> %(slot)s AND next_poll_at IS NOT NULL"""

# A deadline that was set meanwhile (poll now, a new member, another interval) stands, as does one that lies beyond the
# horizon, after a poll by hand. One within it was this poll's, though this clock may say that it came a little early.
FINISH_CLAIM = """
UPDATE providers_pollslot
   SET lease_until = NULL, backoff_level = %(level)s, effective_interval_seconds = %(effective_interval_seconds)s,
       credits_per_poll = coalesce(%(credits)s, credits_per_poll),
       next_poll_at = CASE WHEN next_poll_at <= now() + %(horizon)s AND next_poll_at = %(deadline)s
                           THEN %(next_poll_at)s
                           WHEN next_poll_at IS NOT NULL
                           THEN greatest(next_poll_at, now() + make_interval(secs => %(pause_seconds)s::float8)) END
 WHERE id = %(slot)s AND fence = %(fence)s"""

# A worker that stops gives back what it has not begun.
RELEASE_CLAIM = "UPDATE providers_pollslot SET lease_until = NULL WHERE id = %(slot)s AND fence = %(fence)s"

# A row that did not change is not even locked, and all take them in one order: two accounts of an adapter may write the
# same games at once. The ORM's bulk_create rewrites all.
STORE_EVENTS = """
WITH incoming AS (
    SELECT * FROM unnest(%(ids)s::text[], %(homes)s::text[], %(aways)s::text[], %(starts)s::timestamptz[])
                  AS t (external_id, home_team, away_team, starts_at)
)
INSERT INTO providers_event AS event (source, external_id, sport, home_team, away_team, starts_at)
SELECT %(source)s, external_id, %(sport)s, home_team, away_team, starts_at FROM incoming i
 WHERE NOT EXISTS (SELECT FROM providers_event e
                    WHERE (e.source, e.external_id) = (%(source)s, i.external_id)
                      AND (e.home_team, e.away_team, e.starts_at) = (i.home_team, i.away_team, i.starts_at))
 ORDER BY external_id
    ON CONFLICT (source, external_id) DO UPDATE
   SET home_team = excluded.home_team, away_team = excluded.away_team, starts_at = excluded.starts_at"""
READ_EVENTS = "SELECT external_id, id FROM providers_event WHERE source = %(source)s AND external_id = ANY(%(ids)s)"

# COPY is twice as fast as arrays. The table is made once per connection, not per poll, and emptied by each commit, so
# that it leaves next to nothing behind in the catalogue; behind PgBouncer each of its sessions comes to have one.
# Another shape wants another name. The DELETE is for a second poll in one transaction.
INCOMING_LINES = """
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_lines (state_id bigint, event_id bigint, bookmaker text, market text,
       player text, side text, point float8, price float8) ON COMMIT DELETE ROWS;
DELETE FROM incoming_lines"""
COPY_LINES = "COPY incoming_lines FROM STDIN"
ANALYZE_LINES = "ANALYZE incoming_lines"

_SAME = """
    (a.state_id, a.bookmaker, a.market, a.player, a.side) = (b.state_id, b.bookmaker, b.market, b.player, b.side)
    AND coalesce(a.event_id, 0) = coalesce(b.event_id, 0) AND coalesce(a.point, 'NaN') = coalesce(b.point, 'NaN')"""

# One pass over a poll's lines: what is new is added, what changed is rewritten, what did not is not even locked (as ON
# CONFLICT would). Only one poll at a time writes a state's lines, for the slot is held. Of what is missing, only what a
# good answer spoke of has disappeared: game lines of the events it offered, player lines of those whose own answer was
# good, lines of no game where it holds such, and everything of events that it lists no more. Answers, per state, how
# many lines were new.
STORE_LINES = f"""
WITH stored AS MATERIALIZED (
    SELECT id, state_id, event_id, bookmaker, market, player, side, point, price, removed_at FROM providers_propline
     WHERE state_id = ANY(%(members)s) AND (event_id = ANY(%(events)s) OR (event_id IS NULL AND %(has_gameless)s))
), known AS MATERIALIZED (
    SELECT a.*, b.id, b.price AS was, b.removed_at FROM incoming_lines a LEFT JOIN stored b ON {_SAME}
), changed AS (
    UPDATE providers_propline line SET price = known.price, changed_at = now(), removed_at = NULL
      FROM known WHERE line.id = known.id AND (known.was IS DISTINCT FROM known.price OR known.removed_at IS NOT NULL)
    RETURNING line.id, known.was, known.price
), moved AS (
    INSERT INTO providers_pricemove (line_id, was, price)
    SELECT id, was, price FROM changed WHERE was IS DISTINCT FROM price
), gone AS (
    UPDATE providers_propline a SET removed_at = now(), changed_at = now()
     WHERE a.state_id = ANY(%(members)s) AND a.removed_at IS NULL
       AND ((%(is_listed)s AND a.event_id <> ALL(%(listed)s)) OR (a.player = '' AND a.event_id = ANY(%(offered)s))
            OR (a.player <> '' AND a.event_id = ANY(%(player_offered)s)) OR (a.event_id IS NULL AND %(has_gameless)s))
       AND NOT EXISTS (SELECT FROM incoming_lines b WHERE {_SAME})
), added AS (
    INSERT INTO providers_propline (state_id, event_id, bookmaker, market, player, side, point, price)
    SELECT state_id, event_id, bookmaker, market, player, side, point, price FROM known WHERE id IS NULL
    RETURNING state_id
)
SELECT state_id, count(*) FROM added GROUP BY state_id"""

# All members at once. Counters are added to in the database.
COUNT_POLL = """
UPDATE provider_states state SET
       last_fetch_attempt = now(), updated_at = now(), last_error = %(error)s,
       consecutive_errors = poll.failures,
       average_response_time_ms = (average_response_time_ms * total_requests + %(sum_ms)s)
                                / (total_requests + %(calls)s),
       total_requests = total_requests + %(calls)s, successful_requests = successful_requests + %(good_calls)s,
       failed_requests = failed_requests + %(calls)s - %(good_calls)s,
       last_successful_fetch = CASE WHEN %(is_good)s THEN now() ELSE last_successful_fetch END,
       total_props_fetched = total_props_fetched + poll.lines, unique_props_seen = unique_props_seen + poll.new_lines,
       last_prop_count = CASE WHEN %(is_good)s THEN poll.lines ELSE last_prop_count END
  FROM unnest(%(states)s::bigint[], %(failures)s::int[], %(lines)s::int[], %(new_lines)s::int[])
       AS poll (id, failures, lines, new_lines)
 WHERE state.id = poll.id"""

# No call was made, so nothing is counted; the row is rewritten only when the reason is new.
NOTE_PROBLEM = """
UPDATE provider_states SET last_error = %(problem)s, updated_at = now()
 WHERE id = ANY(%(states)s) AND last_error <> %(problem)s"""

# Compare-and-set, with the status as it was, which UPDATE ... RETURNING of the ORM cannot answer.
CHANGE_STATUS = """
UPDATE provider_states state SET status = %(to)s, updated_at = now()
  FROM (SELECT id, status FROM provider_states WHERE id = ANY(%(states)s) ORDER BY id FOR UPDATE) was
 WHERE state.id = was.id AND was.status <> %(to)s AND (%(only_from)s::text IS NULL OR was.status = %(only_from)s)
RETURNING state.provider_name, state.sport, was.status"""

# How many of those polled at all fail just now. A state in error is probed every 15 minutes at least: no old news.
FLEET = """
SELECT count(*) FILTER (WHERE consecutive_errors > 0), count(*),
       count(DISTINCT (adapter, base_url, credential_env)) FILTER (WHERE consecutive_errors > 0)
  FROM provider_states s JOIN providers_provider p ON p.name = s.provider_name
 WHERE is_enabled AND status <> 'maintenance' AND last_fetch_attempt IS NOT NULL"""

# Compare-and-set: of all workers that see it, one tells people.
RAISE_ALERT = "UPDATE providers_fleetalert SET since = now() WHERE since IS NULL"
END_ALERT = "UPDATE providers_fleetalert SET since = NULL WHERE since IS NOT NULL"

# Aggregated where the rows are: a slot polled each 30 s makes some ten thousand calls a day.
LAST_DAY = """
SELECT date_bin(make_interval(mins => %(minutes)s), started_at, %(since)s),
       avg(duration_ms), avg((outcome = 'ok')::int)::float8,
       avg(lines[array_position(providers, %(provider)s)])::float8
  FROM providers_fetchattempt
 WHERE slot_id = %(slot)s AND started_at >= %(since)s AND providers @> ARRAY[%(provider)s]::varchar[]
 GROUP BY 1"""

# An upstream that lists no game any more speaks of none: so a day after its start a game's lines are no longer offered.
RETIRE_LINES = """
UPDATE providers_propline SET removed_at = now(), changed_at = now() WHERE id = ANY(ARRAY(
       SELECT line.id FROM providers_propline line JOIN providers_event event ON event.id = line.event_id
        WHERE line.removed_at IS NULL AND event.starts_at < now() - interval '1 day'
        LIMIT %(batch)s FOR UPDATE OF line SKIP LOCKED))"""

"""The statements that polling runs, and the reason that the ORM was not enough for each."""

from core.db import leases

# One round trip claims all slots that are due. A round that an operator asked for (`everything`) also takes slots that
# are not due yet. No slot is claimed while polling is switched off.
_DUE_SLOTS = f"""
    SELECT slot.id FROM providers_pollslot slot
     WHERE (slot.next_poll_at <= now() + %(horizon)s OR (%(everything)s AND slot.next_poll_at IS NOT NULL))
       AND {leases.is_free("slot")}
       AND (%(sport)s::text IS NULL OR slot.sport = %(sport)s)
       AND (%(provider)s::text IS NULL OR EXISTS (
            SELECT FROM providers_provider p WHERE p.name = %(provider)s
               AND (p.adapter, p.base_url, p.credential_env)
                 = (slot.adapter, slot.base_url, slot.credential_env)))
       AND EXISTS (SELECT FROM rollout_activation WHERE part = 'polling' AND is_on)
     ORDER BY slot.next_poll_at LIMIT %(batch)s"""

# The lease covers the wait for the deadline, the poll's own time limit and the time to store its answer.
_LEASE_LENGTH = "%(horizon)s + make_interval(secs => slot.timeout_seconds) + %(storing)s"

# The columns of a claim after id and fence, in the order of the fields of providers.upstream.messages.Claim.
_CLAIM_COLUMNS = """
    slot.adapter, slot.base_url, slot.credential_env, slot.sport, slot.timeout_seconds,
    slot.max_retries, slot.requests_per_minute, slot.next_poll_at,
    CASE WHEN %(everything)s THEN 0 ELSE extract(epoch FROM slot.next_poll_at - now()) END::float8,
    coalesce((SELECT jsonb_object_agg(s.provider_name, s.id)
       FROM provider_states s JOIN providers_provider p ON p.name = s.provider_name
      WHERE s.is_enabled AND s.status <> 'maintenance' AND s.sport = slot.sport
        AND (p.adapter, p.base_url, p.credential_env)
          = (slot.adapter, slot.base_url, slot.credential_env)), '{}')::text"""

CLAIM_DUE = leases.claim("providers_pollslot", "slot", _DUE_SLOTS, length=_LEASE_LENGTH, returning=_CLAIM_COLUMNS)

# Locks the slot for the rest of this transaction if its fence is still the claim's. The same round trip reads the slot,
# the database's clock and whether polling is switched on.
HOLD_CLAIM = """
SELECT now(), interval_seconds, effective_interval_seconds, backoff_level, credits_per_poll,
       EXISTS (SELECT FROM rollout_activation WHERE part = 'polling' AND is_on)
  FROM providers_pollslot WHERE id = %(slot)s AND fence = %(fence)s FOR UPDATE"""

# Compare-and-set on the fence and on the deadline. The slot keeps a deadline that was set during the poll (by "poll
# now", a new member or another interval), and after a poll by hand a deadline beyond the horizon. A deadline within the
# horizon was this poll's own, even if the database's clock shows that the poll came a little early.
FINISH_CLAIM = """
UPDATE providers_pollslot
   SET lease_until = NULL, backoff_level = %(backoff_level)s,
       effective_interval_seconds = %(effective_interval_seconds)s,
       credits_per_poll = coalesce(%(credits)s, credits_per_poll),
       next_poll_at = CASE WHEN next_poll_at <= now() + %(horizon)s AND next_poll_at = %(deadline)s
                           THEN %(next_poll_at)s
                           WHEN next_poll_at IS NOT NULL
                           THEN greatest(next_poll_at, now() + make_interval(secs => %(pause_seconds)s::float8)) END
 WHERE id = %(slot)s AND fence = %(fence)s"""

# The ORM's bulk_create rewrites every row. This statement does not even lock a row that did not change. It locks in the
# order of external_id, because two accounts of one adapter may write the same games at the same time.
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

# COPY is twice as fast as arrays, and the ORM has no temporary tables. The table is made once per connection, not per
# poll, and each commit empties it, so that it leaves almost nothing behind in the system catalog. Behind PgBouncer each
# server connection gets one after a while. A table of another shape needs another name. The DELETE is for a second poll
# in the same transaction.
INCOMING_LINES = """
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_lines (state_id bigint, event_id bigint, bookmaker text, market text,
       player text, side text, point float8, price float8) ON COMMIT DELETE ROWS;
DELETE FROM incoming_lines"""
COPY_LINES = "COPY incoming_lines FROM STDIN"
ANALYZE_LINES = "ANALYZE incoming_lines"

_SAME = """
    (a.state_id, a.bookmaker, a.market, a.player, a.side) = (b.state_id, b.bookmaker, b.market, b.player, b.side)
    AND coalesce(a.event_id, 0) = coalesce(b.event_id, 0) AND coalesce(a.point, 'NaN') = coalesce(b.point, 'NaN')"""

# One pass over a poll's lines. A new line is inserted, a changed line is rewritten, and an unchanged line is not even
# locked (ON CONFLICT would lock it). Only one poll at a time writes a state's lines, because it holds the slot. A
# missing line is removed only if a good answer covered it: game lines of the events that it offered, player lines of
# the events whose own answer was good, lines of no game if it holds such lines, and every line of an event that it does
# not list any more. The result is the number of new lines per state.
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

# One statement for all members of a slot; the database itself adds to the counters, each with its own numbers.
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

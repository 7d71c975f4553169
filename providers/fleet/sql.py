"""The statements that change the fleet's configuration and status, and the reason that the ORM was not enough."""

# Changes of configuration run one after the other, because each of them brings all slots up to date with what it sees.
# The ORM has no advisory locks; the end of the transaction releases this one, so that it works behind PgBouncer.
ONE_CHANGE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('slipway.fleet'))"

# One set-based round trip: one slot per account and sport, with the smallest values of its members; the requests per
# minute are the smallest over all sports of the account. A slot that gained its first member is due now and counts as
# healthy; a slot that lost its last member is never due. A new interval counts from the last poll, so that it takes
# effect within a tick.
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
 WHERE NOT EXISTS (  -- a slot that needs no change is not even locked, so that its claims and results go on
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

# An UPDATE of a slot through a join, which the ORM does not have. The first poll comes at once after a state is enabled
# and after an operator asks for it.
MAKE_DUE = """
UPDATE providers_pollslot slot SET next_poll_at = now()
  FROM provider_states s JOIN providers_provider p ON p.name = s.provider_name
 WHERE s.id = ANY(%(states)s) AND slot.next_poll_at IS NOT NULL
   AND (p.adapter, p.base_url, p.credential_env, s.sport)
     = (slot.adapter, slot.base_url, slot.credential_env, slot.sport)"""

# Compare-and-set that returns the status as it was before, which UPDATE ... RETURNING of the ORM cannot return.
CHANGE_STATUS = """
UPDATE provider_states state SET status = %(to)s, updated_at = now()
  FROM (SELECT id, status FROM provider_states WHERE id = ANY(%(states)s) ORDER BY id FOR UPDATE) was
 WHERE state.id = was.id AND was.status <> %(to)s AND (%(only_from)s::text IS NULL OR was.status = %(only_from)s)
RETURNING state.provider_name, state.sport, was.status"""

# The number of provider states whose last poll failed, of all that were polled at all, and the number of accounts that
# they belong to: the ORM cannot count distinct rows of several columns. A state in error is probed every 15 minutes at
# least, so the figures are recent.
COUNT_FAILING = """
SELECT count(*) FILTER (WHERE consecutive_errors > 0), count(*),
       count(DISTINCT (adapter, base_url, credential_env)) FILTER (WHERE consecutive_errors > 0)
  FROM provider_states s JOIN providers_provider p ON p.name = s.provider_name
 WHERE is_enabled AND status <> 'maintenance' AND last_fetch_attempt IS NOT NULL"""

"""The statements that the caching app runs, and the reason that the ORM was not enough for each."""

from core.db.leases import claim, is_free

# A single pass over a sport's box scores, in which the counts become numbers in the database. The ORM would read the
# JSON of every row. Rows of the stub feed count only while the sport has no others.
READ_GAMES = """
SELECT source, player, position, played_on, {columns}
  FROM providers_gamelog
 WHERE sport = %(sport)s AND (source = 'stub') = NOT EXISTS (
       SELECT FROM providers_gamelog WHERE sport = %(sport)s AND source <> 'stub')
 ORDER BY played_on, game_number, game, player_id"""
STATISTIC = "(stats ->> '{statistic}')::float8"

# The condition that the entry which a target names exists and is not due, by a key that the database computes.
HAS_FRESH = """EXISTS (
       SELECT FROM portfolio_rationales entry
        WHERE entry.cache_key = lower(substr(target.cache_type, 7) || ':' || target.sport) || ':' || target.subject
                                || ':' || target.model_version AND entry.soft_expires_at > statement_timestamp())"""

# The enabled targets without a fresh entry. The entries alone decide, so that a deleted or expired one is noticed.
# Targets whose last computation failed come last. Among the others, those that were leased least often come first, so
# that none waits forever.
DUE_TARGETS = f"""
SELECT target.* FROM caching_cachetarget target
 WHERE target.is_enabled AND {is_free("target")} AND NOT {HAS_FRESH}
 ORDER BY target.last_error <> '', target.fence LIMIT %(limit)s"""

# A join on three columns, between tables without a foreign key.
TARGETS_OF_ENTRIES = """
SELECT target.* FROM caching_cachetarget target JOIN portfolio_rationales entry USING (cache_type, sport, subject)
 WHERE entry.id = ANY(%(entries)s) AND target.is_enabled"""

# Compare-and-set: one worker computes a target at a time, and its fence is checked again when it writes. A target whose
# entry another worker stored in between is not leased. The ORM has no UPDATE ... RETURNING.
LEASE_TARGETS = claim(
    "caching_cachetarget",
    "target",
    f"""
     SELECT target.id FROM caching_cachetarget target
      WHERE target.id = ANY(%(targets)s) AND {is_free("target")} AND (%(force)s OR NOT {HAS_FRESH})
      ORDER BY target.id""",
)
# Each target is compared with its own fence and version, in one statement for all of them.
HOLD_TARGETS = """
SELECT target.id FROM unnest(%(targets)s::bigint[], %(fences)s::bigint[], %(versions)s::text[]) mine(id, fence, version)
  JOIN caching_cachetarget target USING (id)
 WHERE target.fence = mine.fence AND target.model_version = mine.version ORDER BY target.id FOR UPDATE OF target"""
END_LEASES = """
UPDATE caching_cachetarget target SET lease_until = NULL, last_error = mine.error
  FROM unnest(%(targets)s::bigint[], %(fences)s::bigint[], %(errors)s::text[]) mine(id, fence, error)
 WHERE target.id = mine.id AND target.fence = mine.fence"""

# The database's own clock: rows are read together with it, and writers' stamps are made of it.
NOW = "extract(epoch FROM clock_timestamp())::float8"
STAMP = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

# The columns that the tiers keep of an entry besides its data. updated_at, which never goes back, is the stamp.
ENTRY_RECORD = """
       (extract(epoch FROM entry.updated_at) * 1000000)::bigint, entry.id, extract(epoch FROM entry.updated_at)::float8,
       extract(epoch FROM entry.soft_expires_at)::float8, extract(epoch FROM entry.expires_at)::float8,
       extract(epoch FROM entry.expires_at)::float8 + 3600 * (SELECT grace_hours FROM caching_cachepolicy policy
                                                              WHERE policy.cache_type = entry.cache_type),
       entry.confidence, entry.data_hash"""

# The entry of the version that its target names. tiers.row_reader runs it without the ORM, in a third of the time.
READ_ENTRY = f"""
SELECT entry.data_json, {ENTRY_RECORD}, {NOW}
  FROM caching_cachetarget target JOIN portfolio_rationales entry ON entry.cache_key = $1 || target.model_version
 WHERE target.cache_type = $2 AND target.sport = $3 AND target.subject = $4 AND target.is_enabled"""

# Every writer of several entries locks them in the order of their ids first, so that two writers wait for each other
# instead of deadlocking.
LOCK_ENTRIES = """
SELECT cache_key, version FROM portfolio_rationales WHERE cache_key = ANY(%(keys)s) ORDER BY id FOR UPDATE"""

# An unchanged payload is no new version: only its times move on, and its text is not written again. The ORM's upsert
# cannot compare the old row with the new one. The rows come as one JSON text, which takes half the time of arrays.
STORE_ENTRIES = f"""
INSERT INTO portfolio_rationales AS entry
       (cache_key, cache_type, data_json, sport, subject, model_version, data_hash, context_json, narrative, key_points,
        confidence, sample_size, generation_time_ms, size_bytes, hit_count, soft_expires_at, expires_at, ttl_seconds,
        is_flagged, version, created_at, updated_at)
SELECT cache_key, cache_type, data_json, sport, subject, model_version, data_hash, context, narrative, key_points,
       confidence, sample_size, ms, size, 0, now() + make_interval(secs => ttl * soft),
       now() + make_interval(secs => ttl), ttl, false, 1, now(), clock_timestamp()
  FROM json_to_recordset(%(rows)s::json) new(
       cache_key text, cache_type text, data_json text, sport text, subject text, model_version text, data_hash text,
       context jsonb, narrative text, key_points jsonb, confidence float8, sample_size int, ms float8, size int,
       ttl int, soft float8)
    ON CONFLICT (cache_key) DO UPDATE
   SET version = entry.version + CASE WHEN entry.data_hash = excluded.data_hash THEN 0 ELSE 1 END,
       data_json = CASE WHEN entry.data_hash = excluded.data_hash THEN entry.data_json ELSE excluded.data_json END,
       data_hash = excluded.data_hash, context_json = excluded.context_json,
       narrative = excluded.narrative, key_points = excluded.key_points, confidence = excluded.confidence,
       sample_size = excluded.sample_size, generation_time_ms = excluded.generation_time_ms,
       size_bytes = excluded.size_bytes, soft_expires_at = excluded.soft_expires_at, expires_at = excluded.expires_at,
       ttl_seconds = excluded.ttl_seconds,
       updated_at = GREATEST(clock_timestamp(), entry.updated_at + interval '1 us')
RETURNING cache_key, version, {ENTRY_RECORD}"""

# The columns that are announced of the changed entries, so that no reader keeps the old times. The stamp is later than
# the one that the tiers hold.
CHANGED = f"RETURNING entry.cache_type, entry.sport, entry.subject, {STAMP}"
# A worker that computes from the old box scores, or that leases a target before the import is committed, then stores
# nothing. The rows are locked in the order of their ids, as above.
FENCE_SPORT = """
UPDATE caching_cachetarget target SET fence = fence + 1, lease_until = NULL
  FROM (SELECT id FROM caching_cachetarget WHERE sport = %(sport)s ORDER BY id FOR UPDATE) concerned
 WHERE target.id = concerned.id"""
OUTDATE = f"""
UPDATE portfolio_rationales entry SET soft_expires_at = now()
  FROM (SELECT id FROM portfolio_rationales WHERE sport = %(sport)s AND soft_expires_at > now()
         ORDER BY id FOR UPDATE) fresh WHERE entry.id = fresh.id {CHANGED}"""
EXPIRE_NOW = f"""
UPDATE portfolio_rationales entry SET soft_expires_at = LEAST(soft_expires_at, now()), expires_at = now()
  FROM (SELECT id FROM portfolio_rationales WHERE id = ANY(%(entries)s) AND expires_at > now()
         ORDER BY id FOR UPDATE) alive WHERE entry.id = alive.id {CHANGED}"""
FLAG = """
UPDATE portfolio_rationales entry SET is_flagged = NOT is_flagged
  FROM (SELECT id FROM portfolio_rationales WHERE id = ANY(%(entries)s) ORDER BY id FOR UPDATE) chosen
 WHERE entry.id = chosen.id"""

# The ORM's delete() reads the rows first if anything listens to their deletion.
DELETE_ALL_ENTRIES = "DELETE FROM portfolio_rationales"

# Entries are deleted once their grace is over, the oldest first and in batches. SKIP LOCKED leaves a row that a writer
# holds for the next batch.
EXPIRE = """
DELETE FROM portfolio_rationales WHERE id = ANY(ARRAY(
       SELECT entry.id FROM portfolio_rationales entry JOIN caching_cachepolicy policy USING (cache_type)
        WHERE entry.expires_at < now() - make_interval(secs => policy.grace_hours * 3600) AND NOT entry.is_flagged
        ORDER BY entry.expires_at LIMIT %(batch)s FOR UPDATE OF entry SKIP LOCKED))"""

# Two upserts in one round trip. Both are ordered, so that two processes that store hits of the same entries wait for
# each other instead of deadlocking.
COUNT_HITS = """
WITH looked_up AS (
     INSERT INTO caching_cachelookup AS counted (kind, tier, lookups)
     SELECT kind, tier, lookups FROM jsonb_to_recordset(%(lookups)s::jsonb) new(kind text, tier text, lookups bigint)
      ORDER BY kind, tier
         ON CONFLICT (kind, tier) DO UPDATE SET lookups = counted.lookups + excluded.lookups),
hit AS MATERIALIZED (
     SELECT entry.id, new.hits FROM unnest(%(rows)s::bigint[], %(hits)s::bigint[]) new(id, hits)
       JOIN portfolio_rationales entry USING (id) ORDER BY entry.id FOR UPDATE OF entry)
UPDATE portfolio_rationales entry SET hit_count = entry.hit_count + hit.hits, last_accessed_at = now()
  FROM hit WHERE entry.id = hit.id"""

# The values of the Django cache backend. A value exists until its expiry; its stamp grows with each write of its key.
# Each call is one statement, which compares, writes by the database's clock, and returns the stamp.
VALUE_TIMES = """
       value.stamp, COALESCE(extract(epoch FROM value.expires_at), 'infinity')::float8"""
READ_VALUE = f"SELECT value.data, {VALUE_TIMES}, {NOW} FROM caching_cachevalue value WHERE cache_key = $1"
NEXT_STAMP = f"GREATEST({STAMP}, value.stamp + 1)"
EXPIRY = "clock_timestamp() + make_interval(secs => %(timeout)s::float8)"
SET_VALUE = f"""
INSERT INTO caching_cachevalue AS value (cache_key, data, expires_at, stamp)
VALUES (%(key)s, %(data)s, {EXPIRY}, {STAMP})
    ON CONFLICT (cache_key) DO UPDATE
   SET data = excluded.data, expires_at = excluded.expires_at, stamp = {NEXT_STAMP}"""
PUT_VALUE = f"{SET_VALUE} RETURNING xmax = 0, {VALUE_TIMES}"
ADD_VALUE = f"{SET_VALUE} WHERE value.expires_at <= clock_timestamp() RETURNING xmax = 0, {VALUE_TIMES}"
TOUCH_VALUE = f"""
UPDATE caching_cachevalue value SET expires_at = {EXPIRY}, stamp = {NEXT_STAMP}
 WHERE cache_key = %(key)s AND (expires_at IS NULL OR expires_at > clock_timestamp()) RETURNING stamp"""
COUNT_VALUE = f"""
UPDATE caching_cachevalue value SET data = (data::numeric + %(delta)s)::text, stamp = {NEXT_STAMP}
 WHERE cache_key = %(key)s AND (expires_at IS NULL OR expires_at > clock_timestamp())
   AND CASE WHEN data ~ '^-?[0-9]{{1,19}}$' THEN abs(data::numeric + %(delta)s) < 9223372036854775808 END
RETURNING data, stamp"""
DELETE_VALUE = f"""
DELETE FROM caching_cachevalue value WHERE cache_key = %(key)s
RETURNING {NEXT_STAMP}, expires_at IS NULL OR expires_at > clock_timestamp()"""
CLEAR_VALUES = "DELETE FROM caching_cachevalue"
NOW_STAMP = f"SELECT {STAMP}"
EXPIRE_VALUES = """
DELETE FROM caching_cachevalue WHERE cache_key = ANY(ARRAY(
       SELECT cache_key FROM caching_cachevalue WHERE expires_at < now()
        ORDER BY expires_at LIMIT %(batch)s FOR UPDATE SKIP LOCKED))"""
# The values that end soonest make room.
CULL_VALUES = f"""
DELETE FROM caching_cachevalue value WHERE cache_key = ANY(ARRAY(
       SELECT cache_key FROM caching_cachevalue ORDER BY expires_at NULLS LAST, stamp
        LIMIT %(many)s FOR UPDATE SKIP LOCKED)) RETURNING cache_key, {NEXT_STAMP}"""

# A single worker carries a warm-up out. If that worker dies, another one goes on at the first target that is not done.
LEASE_WARM_UP = claim(
    "caching_warmup",
    "warm_up",
    f"""
     SELECT warm_up.id FROM caching_warmup warm_up
      WHERE warm_up.ended_at IS NULL AND {is_free("warm_up")} ORDER BY warm_up.id LIMIT 1""",
    returning="warm_up.targets, warm_up.done, warm_up.requested_by",
)
# A compare-and-set that counts, extends the lease and ends the warm-up.
ADVANCE_WARM_UP = """
UPDATE caching_warmup
   SET done = done + %(done)s, failed = failed + %(failed)s,
       lease_until = now() + make_interval(secs => %(lease_seconds)s),
       ended_at = CASE WHEN done + %(done)s >= total THEN now() END
 WHERE id = %(warm_up)s AND fence = %(fence)s"""

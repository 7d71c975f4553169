"""The statements written by hand, and why the ORM was not enough."""

# One pass over a sport's box scores; the columns are numbers before they leave the database. Stub rows count only while
# a sport has no others.
READ_GAMES = """
SELECT source, player, position, played_on, {columns}
  FROM providers_gamelog
 WHERE sport = %(sport)s AND (source = 'stub') = NOT EXISTS (
       SELECT FROM providers_gamelog WHERE sport = %(sport)s AND source <> 'stub')
 ORDER BY played_on, game_number, game, player_id"""
COUNT = "(stats ->> '{statistic}')::float8"

# Enabled targets without an entry that is fresh. Entries are the truth: whatever became of them, it is noticed here.
DUE_TARGETS = """
SELECT target.* FROM caching_cachetarget target
 WHERE target.is_enabled AND (target.lease_until IS NULL OR target.lease_until < now()) AND NOT EXISTS (
       SELECT FROM portfolio_rationales entry
        WHERE entry.cache_key = lower(substr(target.cache_type, 7) || ':' || target.sport) || ':' || target.subject
                                || ':' || target.model_version AND entry.soft_expires_at > statement_timestamp())
 LIMIT %(limit)s"""

TARGETS_OF_ENTRIES = """
SELECT target.* FROM caching_cachetarget target JOIN portfolio_rationales entry USING (cache_type, sport, subject)
 WHERE entry.id = ANY(%(entries)s) AND target.is_enabled"""

# Compare-and-set: one worker computes a target at a time; its fence is checked again when it writes.
LEASE_TARGET = """
UPDATE caching_cachetarget SET lease_until = now() + make_interval(secs => %(lease_seconds)s), fence = fence + 1
 WHERE id = %(target)s AND (lease_until IS NULL OR lease_until < now()) RETURNING fence"""
HOLD_TARGET = """
SELECT FROM caching_cachetarget
 WHERE id = %(target)s AND fence = %(fence)s AND model_version = %(model_version)s FOR UPDATE"""
END_LEASE = """
UPDATE caching_cachetarget SET lease_until = NULL, last_error = %(error)s WHERE id = %(target)s AND fence = %(fence)s"""

# What the tiers keep of an entry beside its data. updated_at, which never goes back, is its stamp.
ENTRY_RECORD = """
       (extract(epoch FROM entry.updated_at) * 1000000)::bigint, entry.id, extract(epoch FROM entry.updated_at)::float8,
       extract(epoch FROM entry.soft_expires_at)::float8, extract(epoch FROM entry.expires_at)::float8,
       extract(epoch FROM entry.expires_at)::float8 + 3600 * (SELECT grace_hours FROM caching_cachepolicy policy
                                                              WHERE policy.cache_type = entry.cache_type),
       entry.confidence, entry.data_hash, extract(epoch FROM clock_timestamp())::float8"""

# The entry of the version that its target names.
READ_ENTRY = f"""
SELECT entry.data_json, {ENTRY_RECORD}
  FROM caching_cachetarget target JOIN portfolio_rationales entry ON entry.cache_key = $1 || target.model_version
 WHERE target.cache_type = $2 AND target.sport = $3 AND target.subject = $4 AND target.is_enabled"""

# An unchanged payload is no new version: only its times move on. xmax is 0 for a row that was inserted.
STORE_ENTRY = f"""
INSERT INTO portfolio_rationales AS entry
       (cache_key, cache_type, data_json, sport, subject, model_version, data_hash, context_json, narrative, key_points,
        confidence, sample_size, generation_time_ms, size_bytes, hit_count, soft_expires_at, expires_at, ttl_seconds,
        is_flagged, version, created_at, updated_at)
VALUES (%(cache_key)s, %(cache_type)s, %(data_json)s, %(sport)s, %(subject)s, %(model_version)s, %(data_hash)s,
        %(context)s::jsonb, %(narrative)s, %(key_points)s::jsonb, %(confidence)s, %(sample_size)s, %(ms)s, %(size)s, 0,
        now() + make_interval(secs => %(ttl)s * %(soft)s), now() + make_interval(secs => %(ttl)s), %(ttl)s, false, 1,
        now(), clock_timestamp())
    ON CONFLICT (cache_key) DO UPDATE
   SET version = entry.version + CASE WHEN entry.data_hash = excluded.data_hash THEN 0 ELSE 1 END,
       data_json = excluded.data_json, data_hash = excluded.data_hash, context_json = excluded.context_json,
       narrative = excluded.narrative, key_points = excluded.key_points, confidence = excluded.confidence,
       sample_size = excluded.sample_size, generation_time_ms = excluded.generation_time_ms,
       size_bytes = excluded.size_bytes, soft_expires_at = excluded.soft_expires_at, expires_at = excluded.expires_at,
       ttl_seconds = excluded.ttl_seconds,
       updated_at = GREATEST(clock_timestamp(), entry.updated_at + interval '1 us')
RETURNING version, xmax = 0, {ENTRY_RECORD}"""

# Readers are told, so that none goes on with the old times. The stamp of what the tiers hold is older than this one.
OUTDATE = """
UPDATE portfolio_rationales SET soft_expires_at = LEAST(soft_expires_at, now())
 WHERE sport = %(sport)s AND soft_expires_at > now()
RETURNING cache_type, sport, subject, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"""
EXPIRE_NOW = """
UPDATE portfolio_rationales SET soft_expires_at = LEAST(soft_expires_at, now()), expires_at = now()
 WHERE id = ANY(%(entries)s) AND expires_at > now()
RETURNING cache_type, sport, subject, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"""

# Deleted once the grace is over, oldest first and in batches; a row that a writer holds is left for the next one.
EXPIRE = """
DELETE FROM portfolio_rationales WHERE id = ANY(ARRAY(
       SELECT entry.id FROM portfolio_rationales entry JOIN caching_cachepolicy policy USING (cache_type)
        WHERE entry.expires_at < now() - make_interval(secs => policy.grace_hours * 3600) AND NOT entry.is_flagged
        ORDER BY entry.expires_at LIMIT %(batch)s FOR UPDATE OF entry SKIP LOCKED))"""


# Ordered, so that two processes that write down the same entries wait for each other instead of dying.
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

# The Django cache backend's. A value is there until its expiry; a stamp grows with each write of its key.
VALUE_TIMES = """
       value.stamp, COALESCE(extract(epoch FROM value.expires_at), 'infinity')::float8,
       extract(epoch FROM clock_timestamp())::float8"""
READ_VALUE = f"SELECT value.data, {VALUE_TIMES} FROM caching_cachevalue value WHERE cache_key = $1"
STAMP = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
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
 WHERE cache_key = %(key)s AND (expires_at IS NULL OR expires_at > clock_timestamp()) AND data ~ '^-?[0-9]+$'
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
# Those that end soonest make room.
CULL_VALUES = f"""
DELETE FROM caching_cachevalue value WHERE cache_key = ANY(ARRAY(
       SELECT cache_key FROM caching_cachevalue ORDER BY expires_at NULLS LAST, stamp
        LIMIT %(many)s FOR UPDATE SKIP LOCKED)) RETURNING cache_key, {NEXT_STAMP}"""

# A warm-up: one worker has it, and whoever comes after it died goes on where it was.
LEASE_WARM_UP = """
UPDATE caching_warmup SET lease_until = now() + make_interval(secs => %(lease_seconds)s), fence = fence + 1
 WHERE id = (SELECT id FROM caching_warmup
              WHERE ended_at IS NULL AND (lease_until IS NULL OR lease_until < now())
              ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, fence, targets, done, requested_by"""
ADVANCE_WARM_UP = """
UPDATE caching_warmup
   SET done = done + %(done)s, failed = failed + %(failed)s,
       lease_until = now() + make_interval(secs => %(lease_seconds)s),
       ended_at = CASE WHEN done + %(done)s >= total THEN now() END
 WHERE id = %(warm_up)s AND fence = %(fence)s"""

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

# Compare-and-set: one worker computes a target at a time; its fence is checked again when it writes.
LEASE_TARGET = """
UPDATE caching_cachetarget SET lease_until = now() + make_interval(secs => %(lease_seconds)s), fence = fence + 1
 WHERE id = %(target)s AND (lease_until IS NULL OR lease_until < now()) RETURNING fence"""
HOLD_TARGET = "SELECT FROM caching_cachetarget WHERE id = %(target)s AND fence = %(fence)s FOR UPDATE"
END_LEASE = """
UPDATE caching_cachetarget SET lease_until = NULL, last_error = %(error)s WHERE id = %(target)s AND fence = %(fence)s"""

# An unchanged payload is no new version: only its times move on. xmax is 0 for a row that was inserted.
STORE_ENTRY = """
INSERT INTO portfolio_rationales AS entry
       (cache_key, cache_type, data_json, sport, subject, model_version, data_hash, context_json, narrative, key_points,
        confidence, sample_size, generation_time_ms, size_bytes, hit_count, soft_expires_at, expires_at, ttl_seconds,
        is_flagged, version, created_at, updated_at)
VALUES (%(cache_key)s, %(cache_type)s, %(data_json)s, %(sport)s, %(subject)s, %(model_version)s, %(data_hash)s,
        %(context)s::jsonb, %(narrative)s, %(key_points)s::jsonb, %(confidence)s, %(sample_size)s, %(ms)s, %(size)s, 0,
        now() + make_interval(secs => %(ttl)s * %(soft)s), now() + make_interval(secs => %(ttl)s), %(ttl)s, false, 1,
        now(), now())
    ON CONFLICT (cache_key) DO UPDATE
   SET version = entry.version + CASE WHEN entry.data_hash = excluded.data_hash THEN 0 ELSE 1 END,
       data_json = excluded.data_json, data_hash = excluded.data_hash, context_json = excluded.context_json,
       narrative = excluded.narrative, key_points = excluded.key_points, confidence = excluded.confidence,
       sample_size = excluded.sample_size, generation_time_ms = excluded.generation_time_ms,
       size_bytes = excluded.size_bytes, soft_expires_at = excluded.soft_expires_at, expires_at = excluded.expires_at,
       ttl_seconds = excluded.ttl_seconds, updated_at = now()
RETURNING version, xmax = 0"""

# Deleted once the grace is over, oldest first and in batches; a row that a writer holds is left for the next one.
EXPIRE = """
DELETE FROM portfolio_rationales WHERE id = ANY(ARRAY(
       SELECT entry.id FROM portfolio_rationales entry JOIN caching_cachepolicy policy USING (cache_type)
        WHERE entry.expires_at < now() - make_interval(secs => policy.grace_hours * 3600) AND NOT entry.is_flagged
        ORDER BY entry.expires_at LIMIT %(batch)s FOR UPDATE OF entry SKIP LOCKED))"""

"""The statements of the providers app as a whole, and the reason that the ORM was not enough for each."""

# Aggregated by the database, because a slot that is polled every 30 s makes about ten thousand calls a day.
LAST_DAY = """
SELECT date_bin(make_interval(mins => %(minutes)s), started_at, %(since)s),
       avg(duration_ms), avg((outcome = 'ok')::int)::float8,
       avg(lines[array_position(providers, %(provider)s)])::float8
  FROM providers_fetchattempt
 WHERE slot_id = %(slot)s AND started_at >= %(since)s AND providers @> ARRAY[%(provider)s]::varchar[]
 GROUP BY 1"""

# One bounded batch per statement, with SKIP LOCKED so that two workers can prune side by side. An upstream that no
# longer lists a game does not cover its lines either, so a game's lines are removed a day after its start.
RETIRE_LINES = """
UPDATE providers_propline SET removed_at = now(), changed_at = now() WHERE id = ANY(ARRAY(
       SELECT line.id FROM providers_propline line JOIN providers_event event ON event.id = line.event_id
        WHERE line.removed_at IS NULL AND event.starts_at < now() - interval '1 day'
        LIMIT %(batch)s FOR UPDATE OF line SKIP LOCKED))"""

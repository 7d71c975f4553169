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

# The lines of Prometheus' text format, one text per family, because 60,000 of them take ten times as long in Python. A
# label's value escapes backslashes, quotes and line feeds. A figure without a value has no line.
_ESCAPED = r"""replace(replace(replace({}, E'\\', E'\\\\'), '"', E'\\"'), E'\n', E'\\n')"""
STATE_FIGURES = f"""
SELECT figure.name, string_agg(figure.name || state.labels || figure.label || '}} ' || figure.value, E'\\n')
  FROM (SELECT state.*, coalesce(slot.effective_interval_seconds, state.poll_interval_seconds) AS interval_seconds,
               '{{provider="' || {_ESCAPED.format("state.provider_name")} || '",sport="'
                             || {_ESCAPED.format("state.sport")} || '"' AS labels
          FROM provider_states state JOIN providers_provider p ON p.name = state.provider_name
          LEFT JOIN providers_pollslot slot ON (slot.adapter, slot.base_url, slot.credential_env, slot.sport)
                                             = (p.adapter, p.base_url, p.credential_env, state.sport)
         ORDER BY state.provider_name, state.sport) state,
       LATERAL (SELECT 'slipway_provider_state', ',status="' || status || '"', (status = state.status)::int::text
                  FROM unnest(%(statuses)s::text[]) status
        UNION ALL VALUES
          ('slipway_provider_enabled', '', is_enabled::int::text),
          ('slipway_provider_last_success_timestamp_seconds', '',
           CASE WHEN is_enabled THEN extract(epoch FROM last_successful_fetch)::text END),
          ('slipway_provider_poll_interval_seconds', '', CASE WHEN is_enabled THEN interval_seconds::text END),
          ('slipway_lines_offered', '', last_prop_count::text),
          ('slipway_lines_fetched_total', '', total_props_fetched::text),
          ('slipway_fetches_total', '', total_requests::text),
          ('slipway_fetches_good_total', '', successful_requests::text),
          ('slipway_fetches_failed_total', '', failed_requests::text)) figure (name, label, value)
 WHERE figure.value IS NOT NULL GROUP BY figure.name"""

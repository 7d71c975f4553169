"""The statements of the import, and why the ORM was not enough: COPY, and rows that do not change stay as they are."""

INCOMING = """
DROP TABLE IF EXISTS pg_temp.incoming_logs;
CREATE TEMPORARY TABLE incoming_logs (line bigint, player_id text, player text, team text, position text, game text,
       played_on date, stats jsonb, game_number smallint) ON COMMIT DROP"""
COPY = "COPY incoming_logs FROM STDIN"

# A player has one row per game; the first in the file is the one that counts.
TWICE = """
SELECT line, first, count(*) OVER ()
  FROM (SELECT line, min(line) OVER (PARTITION BY game, player_id) AS first FROM incoming_logs) AS logs
 WHERE line <> first ORDER BY line LIMIT %(named)s"""
DROP_TWICE = """
DELETE FROM incoming_logs WHERE line IN (
       SELECT line FROM (SELECT line, row_number() OVER (PARTITION BY game, player_id ORDER BY line) AS nth
                           FROM incoming_logs) AS logs WHERE nth > 1)"""

# xmax is 0 for a row that was inserted, not updated.
STORE = """
WITH stored AS (
    INSERT INTO providers_gamelog AS log (source, sport, player_id, player, team, position, game, played_on, stats,
                                          game_number)
    SELECT %(source)s, %(sport)s, player_id, player, team, position, game, played_on, stats, game_number
      FROM incoming_logs
        ON CONFLICT (source, sport, game, player_id) DO UPDATE
       SET player = excluded.player, team = excluded.team, position = excluded.position,
           played_on = excluded.played_on, stats = excluded.stats, game_number = excluded.game_number
     WHERE (log.player, log.team, log.position, log.played_on, log.stats, log.game_number)
        <> (excluded.player, excluded.team, excluded.position, excluded.played_on, excluded.stats,
            excluded.game_number)
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM stored"""

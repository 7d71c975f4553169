"""The statements of an import, and the reason that the ORM was not enough for each."""

# COPY is the fastest way to bring in rows, and it needs a table without constraints. The table lives as long as the
# transaction.
CREATE_INCOMING = """
DROP TABLE IF EXISTS pg_temp.incoming_logs;
CREATE TEMPORARY TABLE incoming_logs (line bigint, player_id text, player text, team text, position text, game text,
       played_on date, stats jsonb, game_number smallint) ON COMMIT DROP"""
COPY_INCOMING = "COPY incoming_logs FROM STDIN"

# A player has one row per game, and the first one in the file counts. The temporary table has no model. Returns the
# first of the later rows, each with its line, the line of the row that counts, and the number of all later rows.
FIND_DUPLICATES = """
SELECT line, first, count(*) OVER ()
  FROM (SELECT line, min(line) OVER (PARTITION BY game, player_id) AS first FROM incoming_logs) AS logs
 WHERE line <> first ORDER BY line LIMIT %(limit)s"""
DELETE_DUPLICATES = """
DELETE FROM incoming_logs WHERE line IN (
       SELECT line FROM (SELECT line, row_number() OVER (PARTITION BY game, player_id ORDER BY line) AS nth
                           FROM incoming_logs) AS logs WHERE nth > 1)"""

# A row that does not change is not rewritten, as bulk_create would do. xmax is 0 for a row that was inserted and not
# updated. Returns how many rows were inserted, and how many were updated.
STORE_LOGS = """
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

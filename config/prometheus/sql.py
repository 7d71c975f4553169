"""The statements of the site's own figures, and the reason that the ORM was not enough for each."""

# The ORM has no model of the server's sessions and settings. The number of sessions of all roles is public, and so is
# the limit; the reserved ones are not for plain roles.
CONNECTIONS = """
SELECT count(*) FILTER (WHERE usename = current_user), count(*) FILTER (WHERE usename <> current_user),
       (SELECT least(current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
                     - current_setting('reserved_connections')::int,
                     nullif(rolconnlimit, -1), nullif(datconnlimit, -1))
          FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database())
  FROM pg_stat_activity"""

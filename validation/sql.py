"""What validation asks in SQL: the system's catalogues, and tables in ways that the ORM has no words for."""

# schema
COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
UNVALIDATED_OF = "SELECT conname FROM pg_constraint WHERE conrelid = to_regclass(%s) AND NOT convalidated"
INVALID_OF = """
SELECT cls.relname FROM pg_index idx JOIN pg_class cls ON cls.oid = idx.indexrelid
 WHERE idx.indrelid = to_regclass(%s) AND NOT idx.indisvalid"""
REFERENCES = """
SELECT attname, confrelid::regclass::text
  FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
 WHERE conrelid = to_regclass(%s) AND contype = 'f'"""
# checks/database
UNVALIDATED = """
SELECT conrelid::regclass || ': ' || conname FROM pg_constraint
 WHERE NOT convalidated AND connamespace = current_schema()::regnamespace ORDER BY 1"""
INVALID = """
SELECT indrelid::regclass || ': ' || indexrelid::regclass FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
 WHERE NOT (indisvalid AND indisready) AND relnamespace = current_schema()::regnamespace ORDER BY 1"""
ORPHANS = """
SELECT count(*) FROM {table} child WHERE child.{column} IS NOT NULL
   AND NOT EXISTS (SELECT FROM {target} parent WHERE parent.{key} = child.{column})"""
ESTIMATED_ROWS = "SELECT reltuples FROM pg_class WHERE oid = to_regclass(%s)"
# checks/integrity
ADRIFT = """
SELECT id, provider_name, sport FROM provider_states state
 WHERE NOT EXISTS (SELECT FROM providers_sport WHERE code = state.sport)
    OR NOT EXISTS (SELECT FROM providers_provider WHERE name = state.provider_name) ORDER BY id"""
ESTIMATED_ENTRIES = "SELECT greatest(reltuples, 1) FROM pg_class WHERE oid = to_regclass('portfolio_rationales')"
ENTRIES = "SELECT id, cache_key, cache_type, data_json, data_hash FROM portfolio_rationales"
ALL_ENTRIES = f"{ENTRIES} WHERE id > %(after)s ORDER BY id LIMIT %(limit)s"
SAMPLED_ENTRIES = f"{ENTRIES} TABLESAMPLE SYSTEM (%(percent)s)"
# An entry that changed since then is due later than then: for that there is an index.
CHANGED_ENTRIES = f"""{ENTRIES} WHERE soft_expires_at > %(since)s AND updated_at > %(since)s AND id > %(after)s
 ORDER BY id LIMIT %(limit)s"""
# checks/system
WRITE = "INSERT INTO validation_validationrun (category) VALUES ('a probe') RETURNING id, category"
READ = "SELECT id, category FROM validation_validationrun WHERE id = %s"
# operations
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('validation'))"
# checks/extended
NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"

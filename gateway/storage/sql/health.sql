-- name: schema_version
-- The version of the newest migration applied.
SELECT coalesce(max(version), 0) AS version FROM schema_migrations;

-- name: condition
-- Whether this session can write, and which rights on tables it lacks of those that a node uses.
-- It reads no table. A table that cannot be found counts as one without rights.
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS read_only,
       ARRAY(
           SELECT need.privilege || ' on ' || need.relation
           FROM (VALUES
               ('accounts', 'SELECT'),
               ('projects', 'SELECT'), ('projects', 'UPDATE'),
               ('api_tokens', 'SELECT'), ('api_tokens', 'UPDATE'),
               ('allowances', 'SELECT'), ('allowances', 'INSERT'), ('allowances', 'UPDATE'),
               ('signing_keys', 'SELECT'), ('signing_keys', 'INSERT'), ('signing_keys', 'UPDATE'),
               ('key_events', 'INSERT'),
               ('schema_migrations', 'SELECT')
           ) AS need (relation, privilege)
           WHERE has_any_column_privilege(to_regclass(need.relation), need.privilege) IS NOT TRUE
       ) AS lacking;

-- name: clock
-- What the database's clock says, in the middle of a statement too.
SELECT clock_timestamp() AS now;

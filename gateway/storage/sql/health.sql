-- name: schema_version
-- The version of the newest migration applied.
SELECT coalesce(max(version), 0) AS version FROM schema_migrations;

-- name: clock
-- What the database's clock says, in the middle of a statement too.
SELECT clock_timestamp() AS now;

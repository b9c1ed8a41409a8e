-- name: schema_version
-- The version of the newest migration applied.
SELECT coalesce(max(version), 0) AS version FROM schema_migrations;

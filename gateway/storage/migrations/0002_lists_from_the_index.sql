-- All that a list of ids asks for is in the index, so it reads no rows: an account's keys lie on as
-- many pages of the table as there are keys.
DROP INDEX signing_keys_live;
CREATE INDEX signing_keys_live ON signing_keys (account_id, project_id, created_at DESC, id DESC)
    INCLUDE (hidden) WHERE deleted_at IS NULL;

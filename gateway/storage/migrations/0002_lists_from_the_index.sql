-- All that a list of ids asks for is in the index, so it reads no rows: an account's keys lie on as
-- many pages of the table as there are keys. Built before the other is dropped, which locks readers
-- out: while it is built they go on.
CREATE INDEX signing_keys_live_new
    ON signing_keys (account_id, project_id, created_at DESC, id DESC)
    INCLUDE (hidden) WHERE deleted_at IS NULL;
DROP INDEX signing_keys_live;
ALTER INDEX signing_keys_live_new RENAME TO signing_keys_live;

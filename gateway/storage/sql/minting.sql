-- name: minting_key
-- The key that an account mints with. $1 account
SELECT id, algorithm, sealed FROM signing_keys
WHERE account_id = $1::uuid AND sealed IS NOT NULL AND deleted_at IS NULL;

-- name: add_minting_key
-- No row comes back when the account has one, made by another process a moment ago perhaps.
-- $1 account, $2 key, $3 algorithm, $4 spki, $5 fingerprint, $6 sealed private half, $7 request id
WITH key AS (
    INSERT INTO signing_keys
        (id, account_id, project_id, dialect, algorithm, spki, fingerprint, hidden, sealed)
    SELECT $2::uuid, a.id, a.default_project_id, 'keyferry', $3::text, $4::bytea, $5::bytea, true,
           $6::bytea
    FROM accounts a WHERE a.id = $1::uuid
    ON CONFLICT (account_id) WHERE sealed IS NOT NULL AND deleted_at IS NULL DO NOTHING
    RETURNING id, account_id
), event AS (
    INSERT INTO key_events (account_id, key_id, action, dialect, request_id)
    SELECT account_id, id, 'created', 'keyferry', $7::text FROM key
)
SELECT id FROM key;

-- name: retire_minting_key
-- The account's next token is signed by a new key. Tokens of the old one stay good, unless all
-- minting keys that the account ever had are revoked. $1 account, $2 revoke, $3 request id
WITH old AS (
    UPDATE signing_keys SET sealed = NULL, deleted_at = CASE WHEN $2::boolean THEN now() END
    WHERE account_id = $1::uuid AND hidden AND deleted_at IS NULL AND (sealed IS NOT NULL OR $2)
    RETURNING id, account_id
), event AS (
    INSERT INTO key_events (account_id, key_id, action, detail, dialect, request_id)
    SELECT account_id, id, CASE WHEN $2 THEN 'deleted' ELSE 'updated' END,
           '{"minting": false}', 'keyferry', $3::text
    FROM old
)
SELECT id, pg_notify('keyferry', 'minting ' || account_id), pg_notify('keyferry', 'key ' || id)
FROM old;

-- name: sealed_keys
-- The keys that accounts mint with, by account. $1 first account, $2 how many at most
SELECT account_id, id, sealed FROM signing_keys
WHERE account_id >= $1::uuid AND sealed IS NOT NULL AND deleted_at IS NULL
ORDER BY account_id LIMIT $2::int;

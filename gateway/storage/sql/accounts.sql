-- name: create_account
-- An account and its default project, which never exist without each other.
-- $1 account, $2 name, $3 email, $4 default project
WITH account AS (
    INSERT INTO accounts (id, name, email, default_project_id)
    VALUES ($1::uuid, $2::text, $3::text, $4::uuid)
    RETURNING id, name, email, created_at, suspended_at
), project AS (
    INSERT INTO projects (id, account_id, name) SELECT $4, account.id, 'default' FROM account
)
SELECT id, name, email, created_at, suspended_at FROM account;

-- name: get_account
-- $1 account
SELECT id, name, email, created_at, suspended_at FROM accounts WHERE id = $1::uuid;

-- name: list_accounts
SELECT id, name, email, created_at, suspended_at FROM accounts ORDER BY created_at, id;

-- name: suspend_account
-- Keeps the first moment of a suspension. $1 account, $2 suspended
UPDATE accounts
SET suspended_at = CASE WHEN $2::boolean THEN coalesce(suspended_at, now()) END
WHERE id = $1::uuid
RETURNING id, name, email, created_at, suspended_at, pg_notify('keyferry', 'account ' || id);

-- name: set_allowance
-- $1 account, $2 dialect, $3 quota or null for the deployment's, $4 algorithm or null likewise
INSERT INTO allowances (account_id, dialect, quota, algorithm)
VALUES ($1::uuid, $2::text, $3::int, $4::text)
ON CONFLICT (account_id, dialect) DO UPDATE SET quota = $3, algorithm = $4
RETURNING pg_notify('keyferry', 'account ' || account_id);

-- name: list_allowances
-- $1 account
SELECT dialect, live_keys, quota, algorithm FROM allowances
WHERE account_id = $1::uuid ORDER BY dialect;

-- name: create_project
-- $1 project, $2 account, $3 name
INSERT INTO projects (id, account_id, name) VALUES ($1::uuid, $2::uuid, $3::text)
RETURNING id, account_id, name, false AS is_default, created_at;

-- name: list_projects
-- $1 account
SELECT p.id, p.account_id, p.name, p.id = a.default_project_id AS is_default, p.created_at
FROM projects p JOIN accounts a ON a.id = p.account_id
WHERE p.account_id = $1::uuid ORDER BY p.created_at, p.id;

-- name: create_token
-- $1 token, $2 account, $3 project or null, $4 name, $5 digest, $6 scopes, $7 expiry or null
INSERT INTO api_tokens (id, account_id, project_id, name, digest, scopes, expires_at)
VALUES ($1::uuid, $2::uuid, $3::uuid, $4::text, $5::bytea, $6::text[], $7::timestamptz)
RETURNING id, account_id, project_id, name, scopes, created_at, expires_at, last_used_at, revoked_at;

-- name: list_tokens
-- $1 account
SELECT id, account_id, project_id, name, scopes, created_at, expires_at, last_used_at, revoked_at
FROM api_tokens WHERE account_id = $1::uuid ORDER BY created_at, id;

-- name: find_token
-- $1 digest
SELECT id, account_id, project_id, name, scopes, created_at, expires_at, last_used_at, revoked_at
FROM api_tokens WHERE digest = $1::bytea;

-- name: revoke_token
-- $1 account, $2 token
UPDATE api_tokens SET revoked_at = coalesce(revoked_at, now())
WHERE account_id = $1::uuid AND id = $2::uuid
RETURNING id, account_id, project_id, name, scopes, created_at, expires_at, last_used_at, revoked_at,
    pg_notify('keyferry', 'account ' || account_id);

-- name: find_principal
-- $1 digest of the token
SELECT t.id, t.account_id, a.email, coalesce(t.project_id, a.default_project_id) AS project_id,
       t.project_id IS NOT NULL AS confined, t.scopes, t.expires_at,
       a.suspended_at IS NOT NULL AS suspended,
       (SELECT coalesce(array_agg(ARRAY[w.dialect, w.algorithm]), '{}') FROM allowances w
        WHERE w.account_id = t.account_id AND w.algorithm IS NOT NULL) AS algorithms
FROM api_tokens t JOIN accounts a ON a.id = t.account_id
WHERE t.digest = $1::bytea AND t.revoked_at IS NULL;

-- name: touch_tokens!
-- When tokens were last used, many at once; never backwards. Rows are locked in order, since
-- other nodes write about the same ones. $1 tokens, $2 moments
WITH seen AS (
    SELECT t.id, news.at
    FROM api_tokens t JOIN unnest($1::uuid[], $2::timestamptz[]) AS news (id, at) USING (id)
    WHERE t.last_used_at IS NULL OR t.last_used_at < news.at
    ORDER BY t.id
    FOR NO KEY UPDATE OF t
)
UPDATE api_tokens t SET last_used_at = seen.at
FROM seen
WHERE t.id = seen.id AND (t.last_used_at IS NULL OR t.last_used_at < seen.at);

-- name: two_accounts
-- Enough to tell whether there is just one.
SELECT id FROM accounts LIMIT 2;

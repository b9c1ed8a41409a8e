-- name: create_key
-- Quota, default name, key and audit event in one statement: all of it or nothing.
-- No row comes back when the account has no slot left in this dialect.
-- $1 account, $2 project, $3 dialect, $4 deployment quota, $5 key, $6 name, $7 label of a
-- numbered default name or null, $8 algorithm, $9 spki, $10 fingerprint, $11 retry digest,
-- $12 token, $13 request id, $14 client address: a text, since the driver would parse it
WITH slot AS (
    INSERT INTO allowances AS a (account_id, dialect, live_keys)
    SELECT $1::uuid, $3::text, 1
    WHERE $4::int > 0 OR EXISTS (SELECT FROM allowances WHERE account_id = $1 AND dialect = $3)
    ON CONFLICT (account_id, dialect) DO UPDATE SET live_keys = a.live_keys + 1
        WHERE a.live_keys < coalesce(a.quota, $4)
    RETURNING a.account_id
), numbered AS (
    UPDATE projects p SET keys_named = p.keys_named + 1
    FROM slot WHERE p.account_id = slot.account_id AND p.id = $2::uuid AND $7::text IS NOT NULL
    RETURNING p.keys_named
), key AS (
    INSERT INTO signing_keys
        (id, account_id, project_id, dialect, name, algorithm, spki, fingerprint, retry_digest)
    SELECT $5::uuid, slot.account_id, $2, $3, coalesce($6::text, $7 || ' ' || numbered.keys_named),
           $8::text, $9::bytea, $10::bytea, $11::bytea
    FROM slot LEFT JOIN numbered ON true
    RETURNING id, account_id, name, created_at
), event AS (
    INSERT INTO key_events (account_id, key_id, action, token_id, dialect, request_id, address)
    SELECT key.account_id, key.id, 'created', $12::uuid, $3, $13::text, $14::text::inet FROM key
)
SELECT name, created_at FROM key;

-- name: create_keys
-- `create_key` for many accounts at once, in one dialect and with one commit. An account gets all
-- the slots it needs here or none, and whose slots or project another statement holds gets none,
-- so that nobody waits for anybody else's account. Who is missing in the answer has to ask alone.
-- $1 accounts, $2 projects, $3 dialect, $4 deployment quota, $5 keys, $6 names, $7 labels,
-- $8 algorithms, $9 spkis, $10 fingerprints, $11 tokens, $12 request ids, $13 client addresses
WITH asked AS (
    SELECT *, count(label) OVER (PARTITION BY project_id ORDER BY place) AS turn
    FROM unnest($1::uuid[], $2::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[],
                $9::bytea[], $10::bytea[], $11::uuid[], $12::text[], $13::text[])
        WITH ORDINALITY AS asked (account_id, project_id, key_id, name, label, algorithm,
                                  spki, fingerprint, token_id, request_id, address, place)
), need AS (
    SELECT account_id, count(*)::int AS keys FROM asked GROUP BY account_id
), free AS (
    SELECT a.account_id FROM allowances a
    WHERE a.account_id = ANY ($1) AND a.dialect = $3::text
    FOR NO KEY UPDATE SKIP LOCKED
), project AS (
    SELECT p.id FROM projects p
    WHERE p.id = ANY ($2) AND p.id IN (SELECT project_id FROM asked WHERE label IS NOT NULL)
    FOR NO KEY UPDATE SKIP LOCKED
), held AS (
    SELECT account_id FROM asked
    WHERE label IS NOT NULL AND project_id NOT IN (SELECT id FROM project)
), slot AS (
    UPDATE allowances a SET live_keys = a.live_keys + need.keys
    FROM need JOIN free USING (account_id)
    WHERE a.account_id = need.account_id AND a.account_id = ANY ($1) AND a.dialect = $3
      AND a.live_keys + need.keys <= coalesce(a.quota, $4::int)
      AND a.account_id NOT IN (SELECT account_id FROM held)
    RETURNING a.account_id
), labelled AS (
    SELECT account_id, project_id, max(turn)::int AS keys
    FROM asked JOIN slot USING (account_id) WHERE label IS NOT NULL
    GROUP BY account_id, project_id
), numbered AS (
    UPDATE projects p SET keys_named = p.keys_named + l.keys
    FROM labelled l
    WHERE p.id = l.project_id AND p.id = ANY ($2) AND p.account_id = l.account_id
    RETURNING p.id, p.keys_named - l.keys AS before
), key AS (
    INSERT INTO signing_keys
        (id, account_id, project_id, dialect, name, algorithm, spki, fingerprint)
    SELECT asked.key_id, slot.account_id, asked.project_id, $3,
           coalesce(asked.name, asked.label || ' ' || numbered.before + asked.turn),
           asked.algorithm, asked.spki, asked.fingerprint
    FROM asked JOIN slot USING (account_id) LEFT JOIN numbered ON numbered.id = asked.project_id
    RETURNING id, name, created_at
), event AS (
    INSERT INTO key_events (account_id, key_id, action, token_id, dialect, request_id, address)
    SELECT asked.account_id, key.id, 'created', asked.token_id, $3, asked.request_id,
           asked.address::inet
    FROM key JOIN asked ON asked.key_id = key.id
)
SELECT id, name, created_at FROM key;

-- name: lock_retry
-- Serialises the creates of one Idempotency-Key until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0));

-- name: retried
-- Whether a live key of this Idempotency-Key can be replaced.
-- $1 account, $2 project, $3 dialect, $4 retry digest
SELECT EXISTS (
    SELECT FROM signing_keys
    WHERE account_id = $1::uuid AND project_id = $2::uuid AND dialect = $3::text
      AND retry_digest = $4::bytea AND deleted_at IS NULL
      AND created_at > now() - interval '24 hours'
) AS live;

-- name: retire_retried
-- Before a repeat is answered with a new key: the earlier key of this Idempotency-Key, at most a
-- day old and still live, is deleted and its slot freed; an older or deleted one loses the mark.
-- $1 account, $2 project, $3 dialect, $4 retry digest, $5 token, $6 request id, $7 client address
WITH earlier AS (
    SELECT id, deleted_at IS NULL AND created_at > now() - interval '24 hours' AS live
    FROM signing_keys
    WHERE account_id = $1::uuid AND project_id = $2::uuid AND dialect = $3::text
      AND retry_digest = $4::bytea
    FOR UPDATE
), unmarked AS (
    UPDATE signing_keys k
    SET retry_digest = NULL, deleted_at = CASE WHEN earlier.live THEN now() ELSE k.deleted_at END
    FROM earlier WHERE k.id = earlier.id
), slot AS (
    UPDATE allowances a SET live_keys = a.live_keys - 1
    FROM earlier WHERE earlier.live AND a.account_id = $1 AND a.dialect = $3
), event AS (
    INSERT INTO key_events (account_id, key_id, action, token_id, dialect, request_id, address)
    SELECT $1, earlier.id, 'replaced', $5::uuid, $3, $6::text, $7::text::inet
    FROM earlier WHERE earlier.live
)
SELECT earlier.id, pg_notify('keyferry', 'key ' || earlier.id) FROM earlier WHERE earlier.live;

-- name: quota_of
-- $1 account, $2 dialect, $3 deployment quota
SELECT coalesce(a.quota, $3::int) AS quota,
       coalesce(a.live_keys, 0) >= coalesce(a.quota, $3) AS reached
FROM (VALUES ($1::uuid, $2::text)) AS place (account_id, dialect)
LEFT JOIN allowances a USING (account_id, dialect);

-- name: get_keys
-- Live keys, by number of the question. $1 keys, $2 accounts, $3 projects or nulls for any
SELECT asked.number, k.id, k.account_id, k.project_id, k.dialect, k.name, k.algorithm, k.spki,
       k.created_at, k.last_seen_at, k.disabled
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[])
    WITH ORDINALITY AS asked (key_id, account_id, project_id, number)
CROSS JOIN LATERAL (
    SELECT * FROM signing_keys s
    WHERE s.id = asked.key_id AND s.account_id = asked.account_id
      AND s.deleted_at IS NULL AND NOT s.hidden
      AND (asked.project_id IS NULL OR s.project_id = asked.project_id)
    LIMIT 1
) k;

-- name: account_keys
-- For operators: all live keys of an account, newest first. $1 account
SELECT id, account_id, project_id, dialect, name, algorithm, spki, created_at, last_seen_at, disabled
FROM signing_keys WHERE account_id = $1::uuid AND deleted_at IS NULL AND NOT hidden
ORDER BY created_at DESC, id DESC;

-- name: find_key
-- For operators: deleted keys and minting keys too. $1 account, $2 key
SELECT id, account_id, project_id, dialect, name, algorithm, spki, created_at, last_seen_at,
       disabled, deleted_at
FROM signing_keys WHERE id = $2::uuid AND account_id = $1::uuid;

-- name: list_keys
-- All live keys of accounts or of their projects, by number of the question, newest first: what
-- the index knows. $1 accounts, $2 projects or nulls for any
SELECT asked.number, k.id, k.created_at
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS asked (account_id, project_id, number)
CROSS JOIN LATERAL (
    SELECT s.id, s.created_at FROM signing_keys s
    WHERE s.account_id = asked.account_id AND s.deleted_at IS NULL AND NOT s.hidden
      AND (asked.project_id IS NULL OR s.project_id = asked.project_id)
    OFFSET 0  -- so that each question is looked up by itself
) k
ORDER BY asked.number, k.created_at DESC, k.id DESC;

-- name: page_keys
-- One page each of projects' live keys, by number of the question, newest first.
-- $1 accounts, $2 projects, $3 limits
SELECT asked.number, k.id, k.account_id, k.project_id, k.dialect, k.name, k.algorithm, k.spki,
       k.created_at, k.last_seen_at, k.disabled
FROM unnest($1::uuid[], $2::uuid[], $3::int[])
    WITH ORDINALITY AS asked (account_id, project_id, keys, number)
CROSS JOIN LATERAL (
    SELECT * FROM signing_keys s
    WHERE s.account_id = asked.account_id AND s.project_id = asked.project_id
      AND s.deleted_at IS NULL AND NOT s.hidden
    ORDER BY s.created_at DESC, s.id DESC
    LIMIT asked.keys
) k
ORDER BY asked.number, k.created_at DESC, k.id DESC;

-- name: search_project_keys
-- One page in any order, with filters, after the key that a cursor names. That key keeps its
-- place when it is deleted between two pages: its tombstone is ranked too, and not shown.
-- $1 account, $2 project, $3 limit, $4 key of the cursor, $5 id, $6 part of the name,
-- $7 created at or after, $8 created before,
-- $9 order by name, $10 by creation, $11 by id: 1 ascending, -1 descending, 0 not at all
WITH ranked AS (
    SELECT k.*, row_number() OVER (ORDER BY
        CASE WHEN $9::int = 1 THEN coalesce(k.name, '') END,
        CASE WHEN $9 = -1 THEN coalesce(k.name, '') END DESC,
        CASE WHEN $10::int = 1 THEN k.created_at END,
        CASE WHEN $10 = -1 THEN k.created_at END DESC,
        CASE WHEN $11::int = 1 THEN k.id END,
        CASE WHEN $11 = -1 THEN k.id END DESC,
        k.id DESC) AS rank
    FROM signing_keys k
    WHERE k.account_id = $1::uuid AND k.project_id = $2::uuid
      AND NOT k.hidden AND (k.id = $4::uuid OR (k.deleted_at IS NULL
        AND ($5::uuid IS NULL OR k.id = $5)
        AND ($6::text IS NULL OR strpos(lower(k.name), lower($6)) > 0)
        AND ($7::timestamptz IS NULL OR k.created_at >= $7)
        AND ($8::timestamptz IS NULL OR k.created_at < $8)))
)
SELECT id, account_id, project_id, dialect, name, algorithm, spki, created_at, last_seen_at, disabled
FROM ranked
WHERE deleted_at IS NULL
  AND ($4 IS NULL OR rank > (SELECT rank FROM ranked WHERE id = $4))
ORDER BY rank
LIMIT $3::int;

-- name: cursor_exists
-- $1 account, $2 project, $3 key
SELECT EXISTS (
    SELECT FROM signing_keys WHERE id = $3::uuid AND account_id = $1::uuid AND project_id = $2::uuid
) AS exists;

-- name: count_project_keys
-- $1 account, $2 project, $3 id, $4 part of the name, $5 created at or after, $6 created before
SELECT count(*) AS count
FROM signing_keys k
WHERE k.account_id = $1::uuid AND k.project_id = $2::uuid AND k.deleted_at IS NULL
  AND NOT k.hidden
  AND ($3::uuid IS NULL OR k.id = $3)
  AND ($4::text IS NULL OR strpos(lower(k.name), lower($4)) > 0)
  AND ($5::timestamptz IS NULL OR k.created_at >= $5)
  AND ($6::timestamptz IS NULL OR k.created_at < $6);

-- name: update_key
-- A row comes back when the key is there. Nodes are told only when the key's state changes.
-- $1 account, $2 key, $3 project or null, $4 new name or null, $5 disabled or null,
-- $6 what changes, for the audit trail, $7 dialect, $8 token, $9 request id, $10 client address
WITH changed AS (
    UPDATE signing_keys
    SET name = coalesce($4::text, name), disabled = coalesce($5::boolean, disabled)
    WHERE id = $2::uuid AND account_id = $1::uuid AND deleted_at IS NULL AND NOT hidden
      AND ($3::uuid IS NULL OR project_id = $3)
    RETURNING id, account_id
), event AS (
    INSERT INTO key_events
        (account_id, key_id, action, detail, dialect, token_id, request_id, address)
    SELECT account_id, id, 'updated', $6::jsonb, $7::text, $8::uuid, $9::text, $10::text::inet
    FROM changed
)
SELECT CASE WHEN $5 IS NOT NULL THEN pg_notify('keyferry', 'key ' || id) END FROM changed;

-- name: delete_key
-- No row: the key is not there. Otherwise `deleted` tells whether this statement did it; false
-- means that it had been deleted before, by another request perhaps a moment ago.
-- $1 account, $2 key, $3 project or null, $4 dialect, $5 token, $6 request id, $7 client address
WITH gone AS (
    UPDATE signing_keys SET deleted_at = now()
    WHERE id = $2::uuid AND account_id = $1::uuid AND deleted_at IS NULL AND NOT hidden
      AND ($3::uuid IS NULL OR project_id = $3)
    RETURNING id, account_id, dialect
), slot AS (
    UPDATE allowances a SET live_keys = a.live_keys - 1
    FROM gone WHERE a.account_id = gone.account_id AND a.dialect = gone.dialect
), event AS (
    INSERT INTO key_events (account_id, key_id, action, dialect, token_id, request_id, address)
    SELECT account_id, id, 'deleted', $4::text, $5::uuid, $6::text, $7::text::inet FROM gone
)
SELECT (SELECT count(pg_notify('keyferry', 'key ' || gone.id)) FROM gone) > 0 AS deleted
FROM signing_keys
WHERE id = $2 AND account_id = $1 AND NOT hidden AND ($3 IS NULL OR project_id = $3);

-- name: key_events
-- $1 account, $2 key
SELECT at, action, detail, token_id, dialect, request_id, host(address) AS address
FROM key_events WHERE account_id = $1::uuid AND key_id = $2::uuid ORDER BY id;

-- name: key_states
-- What verification needs of keys, deleted ones included. $1 ids, $2 fingerprints
SELECT id, account_id, project_id, algorithm, spki, fingerprint,
       disabled IS TRUE AS disabled, deleted_at IS NOT NULL AS deleted
FROM signing_keys WHERE id = ANY ($1::uuid[])
UNION
SELECT id, account_id, project_id, algorithm, spki, fingerprint,
       disabled IS TRUE AS disabled, deleted_at IS NOT NULL AS deleted
FROM signing_keys WHERE fingerprint = ANY ($2::bytea[]);

-- name: touch_keys!
-- When keys were last seen in a play, many at once; never backwards. Rows are locked in order,
-- since other nodes write about the same ones. $1 keys, $2 moments
WITH seen AS (
    SELECT k.id, news.at
    FROM signing_keys k JOIN unnest($1::uuid[], $2::timestamptz[]) AS news (id, at) USING (id)
    WHERE k.last_seen_at IS NULL OR k.last_seen_at < news.at
    ORDER BY k.id
    FOR NO KEY UPDATE OF k
)
UPDATE signing_keys k SET last_seen_at = seen.at
FROM seen
WHERE k.id = seen.id AND (k.last_seen_at IS NULL OR k.last_seen_at < seen.at);

-- name: published_keys
-- The public halves of an account's live, enabled keys, minting keys included. $1 account
SELECT id, algorithm, spki FROM signing_keys
WHERE account_id = $1::uuid AND deleted_at IS NULL AND disabled IS NOT TRUE
ORDER BY created_at DESC, id DESC;

-- name: published_project_keys
-- The same of one project's keys. $1 account, $2 project
SELECT id, algorithm, spki FROM signing_keys
WHERE account_id = $1::uuid AND project_id = $2::uuid
    AND deleted_at IS NULL AND disabled IS NOT TRUE
ORDER BY created_at DESC, id DESC;

-- name: published_key
-- The same of one key, of whatever account. $1 key
SELECT id, algorithm, spki FROM signing_keys
WHERE id = $1::uuid AND deleted_at IS NULL AND disabled IS NOT TRUE;

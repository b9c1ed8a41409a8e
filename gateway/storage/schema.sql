-- The whole schema as it is after all migrations, to be read; migrations make it, and a test
-- compares the two. Accounts, their projects and API tokens, the public halves of signing keys,
-- and the audit trail.

CREATE TABLE accounts (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL,
    default_project_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    suspended_at timestamptz
);

CREATE TABLE projects (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    keys_named bigint NOT NULL DEFAULT 0,
    CONSTRAINT projects_of_account UNIQUE (account_id, id),
    CONSTRAINT projects_name_key UNIQUE (account_id, name)
);

-- An account cannot exist without its default project; both are inserted by one statement.
ALTER TABLE accounts ADD CONSTRAINT accounts_default_project_fkey
    FOREIGN KEY (id, default_project_id) REFERENCES projects (account_id, id)
    DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE api_tokens (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts,
    project_id uuid,
    name text NOT NULL,
    digest bytea NOT NULL CONSTRAINT api_tokens_digest_key UNIQUE,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT api_tokens_project_fkey
        FOREIGN KEY (account_id, project_id) REFERENCES projects (account_id, id),
    CONSTRAINT api_tokens_digest_is_sha256 CHECK (octet_length(digest) = 32)
);
CREATE INDEX api_tokens_by_account ON api_tokens (account_id, created_at);

-- One row per account and dialect: how many live keys it has there, and what it may differ in.
-- The counter makes quotas exact without counting; every change of it is a heap-only update.
CREATE TABLE allowances (
    account_id uuid NOT NULL REFERENCES accounts,
    dialect text NOT NULL,
    live_keys integer NOT NULL DEFAULT 0 CONSTRAINT allowances_never_negative CHECK (live_keys >= 0),
    quota integer CONSTRAINT allowances_quota_never_negative CHECK (quota >= 0),
    algorithm text CONSTRAINT allowances_algorithm CHECK (algorithm IN ('RS256', 'ES256')),
    PRIMARY KEY (account_id, dialect)
) WITH (fillfactor = 50);

CREATE TABLE signing_keys (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    project_id uuid NOT NULL,
    dialect text NOT NULL,
    name text CONSTRAINT signing_keys_name_length CHECK (char_length(name) <= 256),
    algorithm text NOT NULL CONSTRAINT signing_keys_algorithm CHECK (algorithm IN ('RS256', 'ES256')),
    spki bytea NOT NULL,
    fingerprint bytea NOT NULL CONSTRAINT signing_keys_fingerprint_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz,
    disabled boolean,
    deleted_at timestamptz,
    retry_digest bytea,
    -- The account's own minting key: in no list, its private half sealed by the master key.
    hidden boolean NOT NULL DEFAULT false,
    sealed bytea,
    CONSTRAINT signing_keys_project_fkey
        FOREIGN KEY (account_id, project_id) REFERENCES projects (account_id, id)
);
CREATE INDEX signing_keys_live ON signing_keys (account_id, project_id, created_at DESC, id DESC)
    INCLUDE (hidden) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX signing_keys_minting ON signing_keys (account_id)
    WHERE sealed IS NOT NULL AND deleted_at IS NULL;
CREATE UNIQUE INDEX signing_keys_retry ON signing_keys (account_id, project_id, dialect, retry_digest)
    WHERE retry_digest IS NOT NULL;

-- Append-only: what happened to which key, by which token, and where it came from.
CREATE TABLE key_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    account_id uuid NOT NULL,
    key_id uuid NOT NULL,
    action text NOT NULL
        CONSTRAINT key_events_action CHECK (action IN ('created', 'updated', 'deleted', 'replaced')),
    detail jsonb,
    token_id uuid,
    dialect text NOT NULL,
    request_id text NOT NULL,
    address inet
);
CREATE INDEX key_events_by_key ON key_events (key_id, id);

CREATE FUNCTION key_events_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'key_events is append-only';
END
$$;
CREATE TRIGGER key_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON key_events
    FOR EACH STATEMENT EXECUTE FUNCTION key_events_append_only();

-- Which migrations have been applied (gateway/storage/migrate.py).
CREATE TABLE schema_migrations (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

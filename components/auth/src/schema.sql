-- Accounts. `email` is where mail goes, `email_key` what one account has alone.
CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL UNIQUE,
    email_verified INTEGER NOT NULL,
    password TEXT,
    name TEXT NOT NULL,
    locale TEXT,
    marketing INTEGER NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('customer', 'staff', 'admin')),
    version INTEGER NOT NULL DEFAULT 1,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID

CREATE INDEX accounts_by_role ON accounts (role) WHERE role <> 'customer'

-- A session is a family of refresh tokens, of which the newest alone is good. Spent ones are kept until they
-- would have expired, because one that comes back means that two hold the family.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID

CREATE INDEX sessions_by_account ON sessions (account, id)

CREATE TABLE refresh_tokens (
    digest TEXT PRIMARY KEY,
    session TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    spent INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID

CREATE UNIQUE INDEX one_good_token_per_session ON refresh_tokens (session) WHERE spent = 0

CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at_ms)

CREATE TRIGGER session_ended AFTER DELETE ON sessions
BEGIN
    DELETE FROM refresh_tokens WHERE session = OLD.id;
END

CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session)

-- Tokens that went out by mail: good once, for the address that they went to.
CREATE TABLE mailed_tokens (
    digest TEXT PRIMARY KEY,
    purpose TEXT NOT NULL CHECK (purpose IN ('email_verification', 'password_reset')),
    account TEXT NOT NULL,
    email TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID

CREATE INDEX mailed_tokens_by_account ON mailed_tokens (account, purpose)

CREATE INDEX mailed_tokens_by_expiry ON mailed_tokens (expires_at_ms)

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('customer', 'staff', 'admin')),
    digest TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER,
    last_used_at_ms INTEGER
) STRICT, WITHOUT ROWID

CREATE INDEX api_keys_by_account ON api_keys (account, created_at_ms)

-- Failed attempts by account and by address, and the pauses between mails.
CREATE TABLE attempts (
    subject TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    blocked_until_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID

CREATE INDEX attempts_by_age ON attempts (last_ms)

-- The keys that sign access tokens.
CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    seed TEXT NOT NULL,
    signs_from_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID

-- Logins by another issuer that have begun, and the accounts that its subjects have.
CREATE TABLE logins (
    state_digest TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    nonce TEXT NOT NULL,
    code_verifier TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID

CREATE INDEX logins_by_expiry ON logins (expires_at_ms)

CREATE TABLE linked_logins (
    provider TEXT NOT NULL,
    subject TEXT NOT NULL,
    account TEXT NOT NULL,
    PRIMARY KEY (provider, subject)
) STRICT, WITHOUT ROWID

CREATE INDEX linked_logins_by_account ON linked_logins (account)

-- The console of operators: who is logged in, and what operators did.
CREATE TABLE console_sessions (
    hash        bytea PRIMARY KEY,    -- SHA-256 of the cookie
    token_hash  bytea NOT NULL,       -- SHA-256 of the operator's token: a session ends with its token
    operator    text NOT NULL,        -- the token's name
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX console_sessions_expires_at ON console_sessions (expires_at);

CREATE TABLE operator_audit (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL,
    operator  text NOT NULL,
    address   text NOT NULL,          -- of the client
    command   text NOT NULL,
    subject   text NOT NULL,          -- what it was done to: an id or a site's name, never a recipient's address
    outcome   text NOT NULL           -- '' while it is being done
);
CREATE INDEX operator_audit_at ON operator_audit (at);

-- What operators did also over HTTP and by commands. What is done again and again, such as the parts of a long command,
-- is one row.
ALTER TABLE operator_audit
    ADD COLUMN way      text NOT NULL DEFAULT 'console',  -- 'console', 'http' or 'command'
    ADD COLUMN times    integer NOT NULL DEFAULT 1,
    ADD COLUMN last_at  timestamptz;                      -- the last of several times

CREATE INDEX operator_audit_by ON operator_audit (operator, way, id);  -- the last of an operator, which may be repeated

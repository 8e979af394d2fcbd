-- Everything that a tenant has of its own: settings, limits, keys that expire, domains that are looked at, links.

-- Tenants.
ALTER TABLE tenants
    ADD COLUMN is_name_shared boolean NOT NULL DEFAULT false,   -- an older tenant has this name too
    ADD COLUMN suspended_at timestamptz,
    ADD COLUMN resumed_at   timestamptz,                        -- when its last suspension ended
    ADD COLUMN deleted_at   timestamptz,                        -- its data is erased in the background
    ADD COLUMN erased_at    timestamptz,                        -- all of it is; the row stays, so that every process learns it
    ADD COLUMN settings     jsonb NOT NULL DEFAULT '{}',        -- cluster/tenancy/settings.py; {} means all defaults
    ADD COLUMN limits       jsonb NOT NULL DEFAULT '{}',        -- the operator's; cluster/tenancy/limits.py; {} means all defaults
    ADD COLUMN own_limits   jsonb NOT NULL DEFAULT '{}',        -- the tenant's own: the lower of the two applies
    ADD COLUMN changed_tx   xid8 NOT NULL DEFAULT pg_current_xact_id();
-- Processes that cache tenants poll for what changed (cluster/tenancy/directory.py).
CREATE INDEX tenants_changed ON tenants (changed_tx);
-- Two tenants cannot have one name; where an older version let two have it, both keep it.
UPDATE tenants t SET is_name_shared = true
WHERE EXISTS (SELECT FROM tenants o WHERE o.name = t.name AND o.id < t.id);
CREATE UNIQUE INDEX tenants_named ON tenants (name) WHERE deleted_at IS NULL AND NOT is_name_shared;
CREATE INDEX tenants_with_shared_names ON tenants (name) WHERE deleted_at IS NULL AND is_name_shared;
CREATE INDEX tenants_suspended ON tenants (id) WHERE suspended_at IS NOT NULL AND erased_at IS NULL;
CREATE INDEX tenants_to_erase ON tenants (deleted_at) WHERE deleted_at IS NOT NULL AND erased_at IS NULL;
CREATE INDEX batches_of_tenant ON batches (tenant_id, id);

-- API keys.
ALTER TABLE api_keys
    ADD COLUMN kind             text NOT NULL DEFAULT 'api',    -- or 'piisend'
    ADD COLUMN expires_at       timestamptz,
    ADD COLUMN allowed_networks text[] NOT NULL DEFAULT '{}',   -- CIDR; none: any
    ADD COLUMN last_used_at     timestamptz;                    -- to the minute
CREATE INDEX api_keys_of_tenant ON api_keys (tenant_id, id);

-- Sender domains. Two tenants cannot hold one domain; where an older version let two have it, both keep it.
ALTER TABLE sender_domains
    ADD COLUMN subdomain          text NOT NULL DEFAULT '',     -- label of the return path; '': the domain itself
    ADD COLUMN include_subdomains boolean NOT NULL DEFAULT false,
    ADD COLUMN is_default         boolean NOT NULL DEFAULT false,
    ADD COLUMN uses_cnames        boolean NOT NULL DEFAULT false, -- its records are aliases of ours
    ADD COLUMN look_at            timestamptz,                  -- when its records are looked up next; NULL: on demand
    ADD COLUMN checked_at         timestamptz,                  -- when its records were last looked up
    ADD COLUMN findings           jsonb,                        -- what was found then (cluster/tenancy/domains)
    ADD COLUMN wrong_since        timestamptz,                  -- of a verified domain: since when its records are wrong
    ADD COLUMN is_shared          boolean NOT NULL DEFAULT false;
UPDATE sender_domains s SET is_shared = true
WHERE EXISTS (SELECT FROM sender_domains o WHERE o.domain = s.domain AND o.id < s.id);
CREATE UNIQUE INDEX sender_domains_held ON sender_domains (domain) WHERE NOT is_shared;
CREATE INDEX sender_domains_to_look_at ON sender_domains (look_at);
CREATE INDEX sender_domains_wrong ON sender_domains (wrong_since) WHERE wrong_since IS NOT NULL;
-- Finds the verified domains below a domain.
CREATE INDEX sender_domains_reversed ON sender_domains (reverse(domain) COLLATE "C") WHERE verified_at IS NOT NULL;

-- Signing keys. A key waits until the DNS shows it, then it signs; after its retirement its record stays for some days.
ALTER TABLE dkim_keys
    ADD COLUMN algorithm    text NOT NULL DEFAULT 'rsa',        -- or 'ed25519'
    ADD COLUMN state        text NOT NULL DEFAULT 'active',     -- 'pending', 'active', 'retired'
    ADD COLUMN activated_at timestamptz,
    ADD COLUMN retired_at   timestamptz;
UPDATE dkim_keys SET state = CASE WHEN active THEN 'active' ELSE 'retired' END, activated_at = created_at;
UPDATE dkim_keys SET retired_at = now() WHERE NOT active;
ALTER TABLE dkim_keys DROP COLUMN active;

-- A tenant's own host for tracking, unsubscribe and image URLs.
CREATE TABLE branded_links (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL REFERENCES tenants,
    domain      text NOT NULL,
    subdomain   text NOT NULL,
    is_default  boolean NOT NULL DEFAULT false,
    verified_at timestamptz,
    checked_at  timestamptz,
    findings    jsonb,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (subdomain, domain)
);
CREATE INDEX branded_links_of_tenant ON branded_links (tenant_id, id);

-- Operators' tokens, besides the one that is derived from the secret.
CREATE TABLE operator_tokens (
    id           text COLLATE "C" PRIMARY KEY,
    name         text NOT NULL,
    prefix       text NOT NULL,
    hash         bytea NOT NULL UNIQUE,       -- SHA-256 of the token
    created_at   timestamptz NOT NULL DEFAULT now(),
    revoked_at   timestamptz,
    last_used_at timestamptz                  -- to the minute
);
CREATE UNIQUE INDEX operator_tokens_in_use ON operator_tokens (name) WHERE revoked_at IS NULL;

-- Answers of requests with an Idempotency-Key, committed with their mail.
CREATE TABLE idempotency_keys (
    tenant_id   text COLLATE "C" NOT NULL,
    sandbox     boolean NOT NULL,             -- sent with a sandbox key: those have a space of their own
    key         text COLLATE "C" NOT NULL,
    body_sha256 bytea NOT NULL,
    message_ids text[] NOT NULL,
    ignored     text NOT NULL DEFAULT '',     -- the value of X-Postray-Ignored
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, sandbox, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Messages accepted in a day (UTC) of tenants with a daily quota. One writer a shard, so no commit waits for a row.
CREATE TABLE tenant_usage (
    tenant_id   text COLLATE "C" NOT NULL,
    day         date NOT NULL,
    shard       text COLLATE "C" NOT NULL,
    messages    bigint NOT NULL,
    PRIMARY KEY (tenant_id, day, shard)
);

-- What each API process is asked for by tenants near their limits, so that the processes share each limit. Unlogged:
-- it is written several times a second and worth nothing after a crash.
CREATE UNLOGGED TABLE tenant_demand (
    process     text COLLATE "C" PRIMARY KEY,
    demands     bytea NOT NULL,               -- cluster/tenancy/peers.py
    at          timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- Files are shared by content within a tenant only. Those of before have no tenant; requests of before refer to them.
ALTER TABLE attachments ADD COLUMN tenant_id text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE attachments ALTER COLUMN tenant_id DROP DEFAULT;
ALTER TABLE attachments DROP CONSTRAINT attachments_pkey;
ALTER TABLE attachments ADD PRIMARY KEY (tenant_id, sha256);

-- What belongs to a tenant changes the tenant.
CREATE FUNCTION tenant_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_tx := pg_current_xact_id();
    RETURN NEW;
END $$;
CREATE TRIGGER changed BEFORE UPDATE ON tenants FOR EACH ROW EXECUTE FUNCTION tenant_changed();

CREATE FUNCTION tenant_of_row_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tenants SET changed_tx = pg_current_xact_id()
    WHERE id = coalesce(NEW.tenant_id, OLD.tenant_id) AND changed_tx <> pg_current_xact_id();
    RETURN NULL;
END $$;
CREATE TRIGGER changed AFTER INSERT OR DELETE
    OR UPDATE OF name, scopes, sandbox, kind, expires_at, allowed_networks, revoked_at
    ON api_keys FOR EACH ROW EXECUTE FUNCTION tenant_of_row_changed();
CREATE TRIGGER changed AFTER INSERT OR DELETE
    OR UPDATE OF domain, subdomain, include_subdomains, is_default, verified_at
    ON sender_domains FOR EACH ROW EXECUTE FUNCTION tenant_of_row_changed();
CREATE TRIGGER changed AFTER INSERT OR DELETE
    OR UPDATE OF domain, subdomain, is_default, verified_at
    ON branded_links FOR EACH ROW EXECUTE FUNCTION tenant_of_row_changed();

-- A domain that a tenant verifies below another's domain is no longer the other's (cluster/tenancy/tenant.py).
CREATE FUNCTION tenants_above_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    labels text[] := string_to_array(coalesce(NEW.domain, OLD.domain), '.');
BEGIN
    UPDATE tenants SET changed_tx = pg_current_xact_id()
    WHERE id IN (
            SELECT p.tenant_id FROM sender_domains p
            WHERE p.include_subdomains AND NOT p.is_shared AND p.domain = ANY (
                SELECT array_to_string(labels[i:], '.') FROM generate_series(2, cardinality(labels)) AS i))
        AND changed_tx <> pg_current_xact_id();
    RETURN NULL;
END $$;
CREATE TRIGGER changed_above AFTER INSERT OR DELETE OR UPDATE OF verified_at, include_subdomains
    ON sender_domains FOR EACH ROW EXECUTE FUNCTION tenants_above_changed();

CREATE FUNCTION tenant_of_key_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tenants SET changed_tx = pg_current_xact_id()
    WHERE id = (SELECT tenant_id FROM sender_domains WHERE id = coalesce(NEW.domain_id, OLD.domain_id))
        AND changed_tx <> pg_current_xact_id();
    RETURN NULL;
END $$;
CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE OF state, sealed_private_key
    ON dkim_keys FOR EACH ROW EXECUTE FUNCTION tenant_of_key_changed();

-- The pool of sources that a message is to leave from ("" is the default pool).
ALTER TABLE requests ADD COLUMN pool text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN pool text COLLATE "C" NOT NULL DEFAULT '';

-- The sources whose addresses the machine of a delivery actor has.
ALTER TABLE delivery_actors ADD COLUMN sources text[] NOT NULL DEFAULT '{}';

-- What the operator has put in force: the last row. Every process of the cluster follows it.
CREATE TABLE policies (
    version     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shaping     text NOT NULL,               -- shaping.toml
    routing     bytea NOT NULL,              -- routing.toml, sealed: it may hold passwords
    loaded_at   timestamptz NOT NULL DEFAULT now()
);

-- What is not sent to, or for whom: "" means every site, every tenant. Followed like the policies.
CREATE TABLE suspensions (
    site        text COLLATE "C" NOT NULL,
    tenant_id   text COLLATE "C" NOT NULL,
    until       timestamptz NOT NULL,
    reason      text NOT NULL,
    made_by     text NOT NULL CHECK (made_by IN ('operator', 'automation')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, tenant_id)
);

-- What automation and operators did to a site, for people to read.
CREATE TABLE site_actions (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    source      text COLLATE "C" NOT NULL,
    site        text COLLATE "C" NOT NULL,
    tenant_id   text COLLATE "C" NOT NULL,
    action      text NOT NULL,
    detail      text NOT NULL,
    reply       text NOT NULL,
    made_by     text NOT NULL
);
CREATE INDEX site_actions_of_site ON site_actions (site, id);

-- Messages that a source in warm-up may send to a site on a day (UTC), granted to the owner in portions up to the cap.
CREATE TABLE warm_up_days (
    source      text COLLATE "C" NOT NULL,
    site        text COLLATE "C" NOT NULL,
    day         date NOT NULL,
    granted     integer NOT NULL,
    portion     integer NOT NULL,            -- what the last statement granted
    cap         integer NOT NULL,            -- as it was last asked for
    PRIMARY KEY (day, source, site)
);
CREATE INDEX warm_up_days_exhausted ON warm_up_days (day) WHERE granted >= cap;

-- Counts for the daily TLS reports (RFC 8460): one row for each way in which sessions towards a domain ended.
CREATE TABLE tls_results (
    day           date NOT NULL,
    domain        text COLLATE "C" NOT NULL,
    policy_type   text NOT NULL,             -- tlsa, sts, no-policy-found (RFC 8460 §4.4)
    policy        text NOT NULL,             -- its lines; up to 64 KB, too long for an index
    result_type   text NOT NULL,             -- "" for a success (RFC 8460 §4.3)
    mx_host       text COLLATE "C" NOT NULL,
    sending_ip    text NOT NULL,
    receiving_ip  text NOT NULL,
    sessions      bigint NOT NULL
);
CREATE UNIQUE INDEX tls_results_key ON tls_results
    (day, domain, policy_type, hashtextextended(policy, 0), result_type, mx_host, sending_ip, receiving_ip);

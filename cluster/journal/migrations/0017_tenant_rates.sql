-- The rates at which a tenant's mail bounces and draws complaints, and tenants that are suspended for it
-- (cluster/tenancy/rates.py).

ALTER TABLE tenants
    ADD COLUMN suspended_for    text NOT NULL DEFAULT '',       -- why, where a rate suspended it; '' otherwise
    ADD COLUMN pause_over_rates boolean;                        -- NULL: as the setting tenants.pause_over_rates says

-- Deliveries that ended, and reports, since a tenant's rates were last counted. One writer a shard, so no commit waits
-- for a row.
CREATE TABLE tenant_ends (
    tenant_id   text COLLATE "C" NOT NULL,
    shard       text COLLATE "C" NOT NULL,
    ended       bigint NOT NULL,
    hard        bigint NOT NULL,
    delivered   bigint NOT NULL,
    complaints  bigint NOT NULL,
    PRIMARY KEY (tenant_id, shard)
) WITH (fillfactor = 50);

-- The windows that the rates cover.
CREATE TABLE tenant_rates (
    tenant_id           text COLLATE "C" PRIMARY KEY,
    ended               double precision NOT NULL,
    hard                double precision NOT NULL,
    is_over_bounces     boolean NOT NULL,
    delivered           double precision NOT NULL,
    complaints          double precision NOT NULL,
    is_over_complaints  boolean NOT NULL
);

"""Fills a stopped postray so that every page of the console has as much behind it as it ever may: a long queue for
many sites, tenants, domains, suppression lists, endpoints, what operators did, and the flight recorder's samples."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
from msgspec import Struct

from analytics.client import ClickHouse
from cluster.ids import new_id
from cluster.installation.embedded import EmbeddedPostgres
from cluster.journal.records import Address, BodyPart, Content, PreparedPersonalization, encode
from cluster.settings import ClickHouseSettings

PARKED_SHARE = 0.9
"""Of the queue; the rest is due."""
SAMPLED_SITES = 2000
"""As many as the recorder samples at most."""
SAMPLED_S = 3600
JOURNAL = """
INSERT INTO tenants (id, name)
SELECT 'tnt_' || lpad(i::text, 26, '0'), 'tenant' || i FROM generate_series(1, %(tenants)s) AS i;
INSERT INTO sender_domains (tenant_id, domain, checked_at)
SELECT 'tnt_' || lpad((1 + i %% %(tenants)s)::text, 26, '0'), 'd' || i || '.sender.test', now()
FROM generate_series(1, %(domains)s) AS i;
INSERT INTO suppressions (tenant_id, address, list, email, created_at, reason)
SELECT %(tenant)s, 'user' || i || '@example.com', 'bounces', 'user' || i || '@example.com',
    now() - make_interval(secs => i), '550 5.1.1 no such user' FROM generate_series(1, %(suppressed)s) AS i;
INSERT INTO webhooks (id, tenant_id, dialect, url, events, is_enabled)
SELECT 'wh_' || lpad(i::text, 26, '0'), %(tenant)s, 'sendgrid', 'https://hook' || i || '.example.com/events',
    '{delivered}', false FROM generate_series(1, %(endpoints)s) AS i;
INSERT INTO operator_audit (at, operator, address, command, subject, outcome)
SELECT now() - make_interval(secs => i), 'ada', '127.0.0.1', 'suspend site', 'mx.d' || i || '.bench.test', 'done'
FROM generate_series(1, %(audited)s) AS i;
INSERT INTO site_actions (at, source, site, tenant_id, action, detail, reply, made_by)
SELECT now() - make_interval(secs => i), '', 'mx.d' || i %% %(sites)s || '.bench.test', '', 'slow_down',
    'message rate halved', '421 slow down', 'automation' FROM generate_series(1, %(audited)s) AS i;
INSERT INTO batches (id, tenant_id) SELECT 'bat_' || %(slice)s || lpad(i::text, 16, '0'), %(tenant)s
FROM generate_series(0, 99) AS i;
INSERT INTO batch_tallies (batch_id, shard, status, messages, last_at)
SELECT id, 'bench', NULL, %(messages)s / 100, now() FROM batches WHERE tenant_id = %(tenant)s;
INSERT INTO requests (id, tenant_id, created_at, categories, content)
SELECT 'req_' || %(slice)s || lpad(i::text, 16, '0'), %(tenant)s, now(), '{news}', %(content)s
FROM generate_series(0, 99) AS i;
INSERT INTO messages (tenant_id, id, request_id, batch_id, created_at, from_email, to_emails, subject, personal)
SELECT %(tenant)s, 'msg_' || %(slice)s || lpad(i::text, 16, '0'),
    'req_' || %(slice)s || lpad((i %% 100)::text, 16, '0'),
    'bat_' || %(slice)s || lpad((i %% 100)::text, 16, '0'), now(), 'hello@mail.example.com',
    ARRAY['user' || i || '@d' || i %% %(sites)s || '.bench.test'], 'Offer ' || i, %(personal)s
FROM generate_series(1, %(messages)s) AS i;
INSERT INTO deliveries (message_id, recipient_no, tenant_id, batch_id, domain, recipient, due_at, expires_at, alone,
    lane)
SELECT 'msg_' || %(slice)s || lpad(i::text, 16, '0'), 0, %(tenant)s,
    'bat_' || %(slice)s || lpad((i %% 100)::text, 16, '0'), 'd' || i %% %(sites)s || '.bench.test',
    'user' || i || '@d' || i %% %(sites)s || '.bench.test',
    now() + CASE WHEN i <= %(parked)s THEN interval '3 days' ELSE interval '0' END, now() + interval '3 days', true,
    CASE WHEN i <= %(parked)s THEN 'mx.d' || i %% %(sites)s || '.bench.test' END
FROM generate_series(1, %(messages)s) AS i;
"""
SAMPLED = """
INSERT INTO site_samples (site, source, at, interval_s, queued, parked, in_flight, connections, accepted, deferred,
    transactions, spent_s, connection_limit, message_rate, binds, reply_at, reply_host, reply_kind, reply)
SELECT 'mx.d' || toString(number % {sites:UInt32}) || '.bench.test', '',
    toDateTime(intDiv(toUnixTimestamp(now()), 10) * 10 - intDiv(number, {sites:UInt32}) * 10, 'UTC') AS at, 10, 100,
    1000, 4, 2, 50, 3, 50, 20, 20, 5, 'message_rate', at, 'mx.example.org', 'accepted', '250 2.0.0 taken'
FROM numbers({sites:UInt64} * {samples:UInt64})
SETTINGS min_insert_block_size_rows = 500000
"""
WHOLE = """
INSERT INTO samples (at, interval_s, taken, accepted, deferred, unfinished, queued, sites, overdue_s)
SELECT toDateTime(intDiv(toUnixTimestamp(now()), 10) * 10 - number * 10, 'UTC'), 10, 500, 400, 20, 1000000, 20000,
    10000, 60 FROM numbers({samples:UInt64})
"""
WHOLE_S = 7 * 86_400
EVENTS = """
INSERT INTO events (event_id, at, tenant_id, message_id, event, recipient, recipient_domain, attempt, site, mx_host,
    smtp_response, duration_ms)
SELECT 'evt_0' || leftPad(toString(number), 25, '0'), now64(3, 'UTC') - toIntervalMillisecond(number), {tenant:String},
    'msg_' || {slice:String} || leftPad(toString(number), 16, '0'), 'processed', 'user@example.org', 'example.org', 0,
    '', '', '', 0
FROM numbers(1, {messages:UInt64})
SETTINGS min_insert_block_size_rows = 500000
"""


class Amounts(Struct, frozen=True, kw_only=True):
    """How much there is."""

    messages: int
    sites: int
    tenants: int
    domains: int
    suppressed: int
    endpoints: int
    audited: int


class Filled(Struct, frozen=True, kw_only=True):
    """Names of some of it."""

    tenant: str
    batch: str
    message: str
    endpoint: str
    domain: int
    site: str


def fill(data_dir: Path, amounts: Amounts) -> Filled:
    """Write all of it. postray must not run: only one process may open ClickHouse's engine."""
    slice = new_id("msg_")[4:14]  # the part of an id that tells the time
    server = EmbeddedPostgres(data_dir / "postgres")
    with ExitStack() as stack:
        dsn = server.start()
        stack.callback(server.stop)
        tenant, domain = _fill_journal(stack, dsn, amounts, slice)
    client = ClickHouse.open(ClickHouseSettings(), data_dir)
    try:
        client.migrate()
        sites = min(amounts.sites, SAMPLED_SITES)
        client.rows(SAMPLED, sites=sites, samples=max(1, SAMPLED_S // 10))
        client.rows(WHOLE, samples=WHOLE_S // 10)
        client.rows(EVENTS, tenant=tenant, slice=slice, messages=amounts.messages)
    finally:
        client.close()
    return Filled(
        tenant=tenant,
        batch=f"bat_{slice}{7:016}",
        message=f"msg_{slice}{amounts.messages // 2:016}",
        endpoint=f"wh_{1:026}",
        domain=domain,
        site="mx.d7.bench.test",
    )


def _fill_journal(stack: ExitStack, dsn: str, amounts: Amounts, slice: str) -> tuple[str, int]:
    connection = stack.enter_context(psycopg.connect(dsn, autocommit=True))
    (tenant,) = _row(connection, "SELECT id FROM tenants LIMIT 1")
    content = Content(
        from_=Address("hello@mail.example.com"), subject="Offer", parts=(BodyPart("text/plain", "Hello.\n" * 100),)
    )
    values: Mapping[str, Any] = {
        "tenant": tenant,
        "slice": slice,
        "parked": round(amounts.messages * PARKED_SHARE),
        "content": encode(content),
        "personal": encode(PreparedPersonalization(to=(Address("ada@example.com"),))),
        "messages": amounts.messages,
        "sites": amounts.sites,
        "tenants": amounts.tenants,
        "domains": amounts.domains,
        "suppressed": amounts.suppressed,
        "endpoints": amounts.endpoints,
        "audited": amounts.audited,
    }
    for statement in JOURNAL.split(";")[:-1]:
        connection.execute(statement.encode(), values)
    connection.execute("VACUUM ANALYZE")
    (domain,) = _row(connection, "SELECT max(id) FROM sender_domains")
    return tenant, domain


def _row(connection: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row

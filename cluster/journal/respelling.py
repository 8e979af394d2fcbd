"""A migration in Python: it rewrites sender domains in their canonical spelling (cluster/policy/routes/domains.py).

Older versions stored a domain as the client wrote it and found it only in that spelling. Other stored domains need no
migration: the queue has A-labels, and filters search for each spelling in which an address may be stored.
"""

from typing import Any

from psycopg import AsyncConnection

from cluster.policy.routes.domains import mail_domain


async def respell_domains(connection: AsyncConnection[Any]) -> None:
    """Rewrite every sender domain in its canonical spelling, and join the rows that a tenant has for one domain."""
    cursor = await connection.execute("SELECT id, tenant_id, domain FROM sender_domains ORDER BY id FOR UPDATE")
    for id, tenant_id, domain in await cursor.fetchall():
        name = mail_domain(domain)
        if name is None or name == domain:
            continue
        cursor = await connection.execute(
            "SELECT id FROM sender_domains WHERE tenant_id = %s AND domain = %s", [tenant_id, name]
        )
        twin = await cursor.fetchone()
        if twin is None:
            await connection.execute(
                """UPDATE sender_domains
                SET domain = %(name)s, is_shared = EXISTS (SELECT FROM sender_domains WHERE domain = %(name)s)
                WHERE id = %(id)s""",
                {"name": name, "id": id},
            )
        else:
            await _join(connection, id, twin[0])


async def _join(connection: AsyncConnection[Any], id: int, twin: int) -> None:
    """Join the domain ``id`` to its ``twin``. The twin's active keys continue to sign. The other keys are kept so that
    earlier signatures can be verified, and stay active only when the twin has no active key. When both have the same
    selector, the twin's key is kept, because DNS can publish only one."""
    await connection.execute(
        """UPDATE dkim_keys AS k
        SET domain_id = %(twin)s,
            state = CASE
                WHEN k.state = 'active'
                    AND EXISTS (SELECT FROM dkim_keys t WHERE t.domain_id = %(twin)s AND t.state = 'active')
                THEN 'retired' ELSE k.state END
        WHERE k.domain_id = %(id)s
            AND NOT EXISTS (SELECT FROM dkim_keys t WHERE t.domain_id = %(twin)s AND t.selector = k.selector)""",
        {"id": id, "twin": twin},
    )
    await connection.execute(
        """UPDATE sender_domains AS s SET verified_at = coalesce(s.verified_at, o.verified_at)
        FROM sender_domains o WHERE s.id = %(twin)s AND o.id = %(id)s""",
        {"id": id, "twin": twin},
    )
    await connection.execute("DELETE FROM sender_domains WHERE id = %s", [id])

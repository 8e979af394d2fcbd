"""A migration that SQL cannot make: sender domains in the one spelling (policy/domains.py).

Older versions kept a domain as it was written, and found it only by that. Everything else that is stored is found
however it was written: the queue has A-labels, and filters look for each way in which an address may be stored.
"""

from typing import Any

from psycopg import AsyncConnection

from cluster.policy.routes.domains import mail_domain


async def respell_domains(connection: AsyncConnection[Any]) -> None:
    """Name every sender domain in the one spelling; what a tenant has in several becomes one."""
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
            await connection.execute("UPDATE sender_domains SET domain = %s WHERE id = %s", [name, id])
        else:
            await _join(connection, id, twin[0])


async def _join(connection: AsyncConnection[Any], id: int, twin: int) -> None:
    """Make one domain of two rows. The twin signs with its own keys on; those of the other stay, for what they signed:
    they sign only where the twin has none. Of a selector that both have, the DNS shows one key: the twin's."""
    await connection.execute(
        """UPDATE dkim_keys AS k
        SET domain_id = %(twin)s,
            active = k.active AND NOT EXISTS (SELECT FROM dkim_keys t WHERE t.domain_id = %(twin)s AND t.active)
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

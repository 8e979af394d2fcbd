"""What a tenant requires of TLS decides which connection its jobs may use, until their transaction begins."""

import asyncio

from msgspec.structs import replace

from cluster.policy.tls.level import TlsLevel
from cluster.policy.tls.policy import TenantTls
from tests.unit.delivery.builders import HOP, some_limits
from tests.unit.delivery.pool_world import World
from tests.unit.virtual_time import in_virtual_time, settle

REQUIRED = TenantTls(TlsLevel.REQUIRED)


@in_virtual_time
async def test_an_open_connection_that_does_not_satisfy_a_tenant_is_not_used() -> None:
    world = World(some_limits(1))
    world.submit(1)
    await settle()
    await world.answer()
    [plain] = world.open
    world.submit(1, replace(HOP, tenant_tls=REQUIRED))
    world.enforced_tls.required = REQUIRED
    await asyncio.sleep(1)
    [(_, _, first), (_, _, second)] = world.began
    assert (first, second.hop.tenant_tls) == (plain, REQUIRED)
    await world.finish()


@in_virtual_time
async def test_a_job_that_waits_follows_a_change() -> None:
    world = World(some_limits(1))
    jobs = world.submit(3)
    await settle()
    world.enforced_tls.required = REQUIRED
    await world.answer()
    await asyncio.sleep(1)
    await world.finish()
    assert [line.hop.tenant_tls for _, _, line in world.began] == [None, REQUIRED, REQUIRED]
    assert world.reported == jobs
    assert world.pool.outstanding == 0


@in_virtual_time
async def test_a_job_waits_until_it_is_known_what_its_tenant_requires() -> None:
    world = World(some_limits(1))
    world.enforced_tls.is_known = False
    world.enforced_tls.required = REQUIRED
    world.submit(1)
    await asyncio.sleep(1)
    [(_, _, line)] = world.began
    assert line.hop.tenant_tls == REQUIRED
    await world.finish()
    assert world.pool.outstanding == 0

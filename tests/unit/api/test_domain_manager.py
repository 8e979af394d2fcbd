"""The sender domains of an API process: the scheduler, which looks at their records, may be away."""

from typing import Any, cast

import pytest

from api.build import domain_manager
from cluster.context import Context, Links
from cluster.intake.backpressure import Overloaded
from cluster.journal.journal import Journal
from cluster.peers import PeerGone
from cluster.settings import Settings
from cluster.tenancy.domains.domain import SenderDomain
from tests.domains import SECRET
from tests.policies import a_policy
from tests.unit.api.journal_double import JournalDouble
from tests.unit.domains.test_rules import a_domain


@pytest.mark.parametrize("is_away", [False, True])
async def test_the_scheduler_looks(is_away: bool) -> None:
    calls: list[Any] = []

    async def call(*call: Any) -> None:
        calls.append(call)
        if is_away:
            raise PeerGone("scheduler", "it restarts")

    async def share(data: bytes) -> None: ...

    async def place(*_: object) -> Any:
        raise AssertionError("nobody is placed")

    double = JournalDouble()
    domain: SenderDomain = a_domain()
    double.domains = [domain]
    journal = cast(Journal, double)
    context = Context(
        name="api-0-0",
        node_id="n",
        settings=Settings(),
        data_dir="",
        postgres_dsn="",
        secret_key=SECRET,
    )
    links = Links(call=call, kill=place, share=share, look=place, start=place, end=place, ask_for=place)
    manager = domain_manager(context, links, journal, a_policy(journal))
    if is_away:
        with pytest.raises(Overloaded, match="cannot be looked up now"):
            await manager.verify(domain)
    else:
        assert await manager.verify(domain) == domain
    assert calls == [("scheduler", "verify_domain", domain.id)]

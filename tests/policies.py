"""The policy of a process that has followed none yet: only the settings apply."""

from cluster.journal.journal import Journal
from cluster.policy.routes.routing import Routing
from cluster.routing.active_policy import ActivePolicy
from cluster.settings import DeliverySettings
from cluster.vault import Vault

SECRET = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="


def a_policy(journal: Journal, *pools: str) -> ActivePolicy:
    """An active policy whose routing has only these pools; a test may set ``routing``."""
    policy = ActivePolicy(journal, Vault(SECRET), DeliverySettings())
    policy.routing = Routing(pools={pool: {"a": 1} for pool in pools})
    return policy


async def no_aliases(host: str) -> tuple[str, ...]:
    """A DNS without CNAME records."""
    return ()

"""Every cache that lives as long as its process has a bound, whatever tenants and remote hosts send.

The table is the review: the most bytes, and what bounds them. A cache that is not in the table fails this test.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster

ROOT = Path(cluster.__file__).parents[1]
KINDS = {"OrderedDict", "TtlCache", "lru_cache", "cache", "cached"}
MOST_MB = 150

BOUNDS: dict[str, tuple[float, str]] = {
    "cluster/policy/whatif/judging.py:_judged": (80, "10,000 replies, cut; in a command alone, as the next four"),
    "cluster/policy/whatif/replay.py:limits": (20, "20,000 of 1 KB"),
    "cluster/policy/whatif/replay.py:held": (4, "10,000 sites and three numbers each"),
    "cluster/policy/whatif/replay.py:_sites": (60, "10,000 sites with the counts of their triggers"),
    "cluster/policy/whatif/replay.py:_compared": (4, "10,000 names of sites"),
    "cluster/routing/estimating.py:_told": (6, "200 estimates of 50 sites of 0.5 KB each"),
    "actors/compose/tracking/fields.py:feedback_id": (4, "4,096 of three cut names and what they were cut from"),
    "actors/compose/tracking/tags.py:_spellings": (4, "256 times ten spellings of LONGEST_TAG, 12 octets a character"),
    "actors/compose/dkim.py:_kept_layout": (26, "128 of 50 names of 1,000 octets, three times, and the key"),
    "actors/compose/ed25519.py:load_lanes": (0.1, "one"),
    "actors/compose/multibuffer.py:load_library": (0.1, "one"),
    "actors/compose/rsa.py:load_lanes": (0.1, "one"),
    "actors/delivery/signing.py:_kept": (40, "4,000 of 10 KB"),
    "actors/mail_in/forwarding.py:_sent": (3, "10,000 tenants and two numbers each"),
    "cluster/access/login_failures.py:_failed": (3, "10,000 addresses or users of 64 characters, and two numbers each"),
    "api/console/throttling.py:_closed_until": (2, "10,000 addresses and a number each"),
    "actors/delivery/connector.py:carried": (10, "10,000 pairs of names and four numbers each"),
    "actors/delivery/connector.py:_in_vain": (10, "10,000 names and a few words each"),
    "actors/delivery/connector.py:_takes_bdat": (20, "20,000 hosts and a fingerprint each"),
    "actors/delivery/contents.py:_compiled": (67, "MOST_BYTES as measured, both together"),
    "actors/delivery/contents.py:_encoded": (5, "ENCODED_BYTES, part of MOST_BYTES"),
    "cluster/templates/store.py:_kept": (64, "MOST_BYTES, as each says of itself"),
    "actors/webhooks/tokens.py:_kept": (10, "1,000 tokens of LONGEST_TOKEN, and the credentials"),
    "cluster/lookup/tlsa.py:_hosts": (25, "MOST_BYTES of records, 10,000 names"),
    "cluster/lookup/tlsa.py:_mx": (8, "10,000 pairs of names"),
    "cluster/lookup/mta_sts.py:_kept": (25, "MOST_BYTES of patterns, 10,000 names"),
    "cluster/lookup/mta_sts.py:_without": (4, "10,000 names"),
    "actors/delivery/deferring_hosts.py:_hosts": (50, "20,000 deliveries, 8 names of 255 characters each"),
    "cluster/lookup/ttl_cache.py:_values": (0, "as its users say, each above or below"),
    "cluster/lookup/resolver.py:cache": (100, "CACHE_BYTES"),
    "actors/delivery/enforced_tls.py:_gone": (0.2, "1,000 ids of tenants"),
    "actors/delivery/sites.py:_dropped": (6, "5,000 names of sites, with a reply of 500 characters"),
    "actors/smtp/reply.py:_short_reply": (0.5, "256 lines of SHORT_BYTES, as bytes and in a reply"),
    "actors/smtp/tls.py:_begun": (46, "1,000 sessions of up to 46 KB, or one for a DANE context"),
    "actors/smtp/tls.py:_dane": (30, "500 contexts of 13 KB and a session"),
    "actors/smtp/tls.py:client_context": (2, "one a level"),
    "actors/delivery/tls_dialer.py:_broken": (8, "10,000 pairs of names"),
    "actors/delivery/tls_dialer.py:_rehearsed": (8, "10,000 pairs of names"),
    "cluster/routing/dispatcher.py:owners": (60, "100,000 destinations of some 500 bytes"),
    "cluster/routing/direct_offers.py:_pending": (10, "a queue: PENDING_AT_MOST of 200 bytes"),
    "cluster/routing/router.py:ways": (130, "WAYS_BYTES of names, 100,000 ways of some 900 bytes"),
    "cluster/tracking/machines.py:by_user_agent": (10, "4,096 of LONGEST_USER_AGENT, four octets each at most"),
    "analytics/door/allowed.py:functions": (0.3, "the names of one file"),
    "cluster/access/terms.py:_parsed": (2, "4,096 networks"),
    "cluster/access/tokens.py:_verified": (20, "10,000 tokens' hashes, scopes and subjects of 200 characters"),
    "api/http/body.py:_means_gzip": (0.2, "64 of at most 1,000 characters"),
    "api/images/cache.py:_kept": (64, "KEPT_BYTES, entries' own size included"),
    "api/build.py:tls": (0.1, "one"),
    "api/submission/reading.py:_known_list": (6, "512 texts of LONGEST_KNOWN, 100 addresses each at most"),
    "api/send/sending.py:_batches": (4, "10,000 ids that exist"),
    "cluster/templates/handlebars/dates.py:_zone_names": (0.2, "one table"),
    "api/http/changes.py:change_of": (0.5, "a type for each section of settings"),
    "api/send/tracking.py:_usual": (0.5, "1,024 pairs of a number and a URL"),
    "api/send/templating.py:_compiled": (40, "256 subjects of 1,000 characters"),
    "cluster/tenancy/domains/names.py:_registries": (3, "one list"),
    "cluster/tenancy/domains/names.py:_suffixes": (3, "one list"),
    "cluster/tenancy/directory.py:_kept": (40, "20,000 tenants and 20,000 keys of the installation's own"),
    "cluster/tenancy/directory.py:_reloaded": (6, "20,000 tenants"),
    "api/http/sharing.py:_waiting": (1, "a queue: 64 of a tenant"),
    "cluster/http/heads.py:_is_host": (0.5, "1,024 of LONGEST_HOST"),
    "cluster/journal/arrays.py:_of_time": (0.1, "256 times"),
    "cluster/webhooks/signing.py:_opened": (0.6, "1,024 secrets of 50 characters, sealed and not"),
    "cluster/webhooks/signing.py:_private_key": (2, "1,024 keys of P-256, sealed and not"),
    "cluster/policy/replies/automation.py:_counts": (5, "500 tenants a site, moments up to a rule's threshold"),
    "cluster/policy/replies/bounce_rules.py:_candidates": (5, "4,096 codes"),
    "cluster/policy/limits/connections.py:dead": (10, "20,000 addresses"),
    "cluster/policy/limits/fairness.py:_queues": (
        0,
        "a queue: bounded by the window of its actor, or by the connections of its server",
    ),
    "cluster/policy/routes/domains.py:_a_labels": (
        9,
        "4,096 pairs of names of 255 characters, four octets each at most",
    ),
    "cluster/policy/routes/domains.py:_u_labels": (2, "1,024 such pairs"),
    "cluster/message/header_fields.py:date": (0.1, "64 times"),
    "cluster/message/substitution.py:_kept_keys": (50, "64 sets of 1,000 characters, 0.7 KB for each at worst"),
}


def test_every_cache_has_its_bound() -> None:
    assert set(found()) == BOUNDS.keys()


@pytest.mark.parametrize("name", BOUNDS)
def test_no_bound_is_too_large_for_a_process(name: str) -> None:
    megabytes, reason = BOUNDS[name]
    assert megabytes <= MOST_MB
    assert reason


def found() -> Iterator[str]:
    for package in ("actors", "analytics", "api", "cluster"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (name := _cache(node)) is not None:
                    yield f"{path.relative_to(ROOT)}:{name}"


def _cache(node: ast.AST) -> str | None:
    """The name of the cache that a statement creates."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name if any(map(_is_kind, node.decorator_list)) else None
    if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call) and _is_kind(node.value):
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        return target.attr if isinstance(target, ast.Attribute) else ast.unparse(target)
    return None


def _is_kind(node: ast.expr) -> bool:
    """Whether it is ``cache``, ``functools.cache``, ``lru_cache(64)`` or ``lru_cache(64)(function)``."""
    while isinstance(node, ast.Call):
        node = node.func
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name in KINDS

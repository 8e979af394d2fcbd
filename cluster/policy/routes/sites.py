"""The site of a domain: the name under which all domains that the same hosts serve share limits.

A site is named after the *family* that all its hosts belong to (``site_families.toml``: operators that give each
customer its own hosts for one shared service), otherwise after its only host, otherwise after all of them. Names are
keys in the journal and words on the command line, made of ``a-z0-9.-_,`` only. They never collide with a relay
(host:port) or with "capture", since each contains a dot or a comma, and no colon.

A site shares limits and reputation, not hosts: a domain's mail is sent to that domain's own hosts.
"""

import re
import tomllib
from collections.abc import Collection
from fnmatch import fnmatchcase
from hashlib import blake2b
from importlib import resources

import msgspec
from msgspec import Struct

MAX_NAME = 120
"""Characters of a site's name; longer names are abbreviated."""
_KEPT = 100
"""Characters of the first host that remain in an abbreviated name, so that people recognise it."""


class SiteFamily(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The hosts of one operator's service, which form one site."""

    name: str
    """One of the suffixes."""
    suffixes: tuple[str, ...]
    """A host belongs to the family when it is a suffix of this list, or ends with a dot and one of them."""
    reference: str
    """The public source."""
    domains: tuple[str, ...] = ()
    """Well-known domains that the family serves, besides the suffixes themselves."""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    family: tuple[SiteFamily, ...]


def parse_families(text: str) -> tuple[SiteFamily, ...]:
    """Raises ValueError when ``text`` is not a file of families."""
    return msgspec.convert(tomllib.loads(text), _File).family


FAMILIES = parse_families(
    resources.files("cluster.policy.routes").joinpath("site_families.toml").read_text(encoding="utf-8")
)
FAMILY_NAMES = frozenset(family.name for family in FAMILIES)
_FAMILY_OF = {suffix: family.name for family in FAMILIES for suffix in family.suffixes}
_FAMILY_SERVING = {domain: family.name for family in FAMILIES for domain in family.domains}


def known_site(domain: str) -> str:
    """The site of a domain as far as it is known without the DNS: its family's, otherwise the domain's own name."""
    return _FAMILY_SERVING.get(domain) or _FAMILY_OF.get(domain, domain)


def family_of(host: str) -> str | None:
    """The name of the family a host belongs to; of two suffixes the longer counts."""
    suffix = host
    while suffix:
        if suffix in _FAMILY_OF:
            return _FAMILY_OF[suffix]
        suffix = suffix.partition(".")[2]
    return None


def site_name(domain: str, hosts: Collection[str]) -> str:
    """The site of a domain with these mail hosts (names in lower case, any order); without hosts, the domain's own."""
    families = {family_of(host) for host in hosts}
    if len(families) == 1:
        (family,) = families
        if family is not None:
            return family
    # Only the set of hosts counts: the order of preference belongs to each domain.
    names = sorted(set(hosts)) or [domain]
    name = ",".join(names)
    if len(name) <= MAX_NAME and not is_route(name):
        return name
    return f"{names[0][:_KEPT]},_{blake2b(name.encode(), digest_size=8).hexdigest()}"


def is_route(site: str) -> bool:
    """Whether this is not a site of the DNS but the capture sink or a relay (host:port): one host for all domains."""
    return ":" in site or not ("." in site or "," in site)


def matches(pattern: str, site: str) -> bool:
    """Whether an operator's pattern matches a site: "" matches all; with ``*`` or ``?`` it must match the whole name;
    otherwise the name must contain it."""
    pattern, site = pattern.lower(), site.lower()
    if "*" in pattern or "?" in pattern:
        return fnmatchcase(site, pattern)
    return pattern in site


def literal(pattern: str) -> str:
    """The longest part of a pattern that the name of every matching site contains."""
    return max(re.split(r"[*?\[\]]", pattern.lower()), key=len)

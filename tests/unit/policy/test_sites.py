"""Sites: which domains share a site, and that different kinds of sites never have the same name."""

import re

import pytest

from cluster.policy.routes.sites import (
    FAMILIES,
    FAMILY_NAMES,
    MAX_NAME,
    family_of,
    is_route,
    known_site,
    parse_families,
    site_name,
)

NAME = re.compile(r"[a-z0-9._,-]+")


@pytest.mark.parametrize(
    ("hosts", "site"),
    [
        (["contoso-com.mail.protection.outlook.com"], "mail.protection.outlook.com"),
        (["fabrikam-com.a-v1.mx.microsoft"], "mail.protection.outlook.com"),
        (["outlook-com.olc.protection.outlook.com"], "olc.protection.outlook.com"),
        (["gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com"], "google.com"),
        (["aspmx.l.google.com", "aspmx2.googlemail.com"], "google.com"),
        (["smtp.google.com"], "google.com"),
        (["mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net"], "yahoodns.net"),
        (["mx-aol.mail.gm0.yahoodns.net"], "yahoodns.net"),
        (["mx01.mail.icloud.com", "mx02.mail.icloud.com"], "mail.icloud.com"),
        (["mx00.emig.gmx.net", "mx01.emig.gmx.net"], "gmx.net"),
        (["mx-ha02.web.de", "mx-ha03.web.de"], "gmx.net"),
        (["mx00.ionos.de", "mx01.ionos.de"], "kundenserver.de"),
        (["mx.yandex.net"], "mx.yandex.net"),
        (["163mx01.mxmail.netease.com"], "mxmail.netease.com"),
        (["d1.ess.barracudanetworks.com", "d2.ess.barracudanetworks.com"], "ess.barracudanetworks.com"),
    ],
)
def test_hosts_of_one_family_are_one_site(hosts: list[str], site: str) -> None:
    assert site_name("example.com", hosts) == site


def test_each_customer_of_a_filter_with_clusters_of_its_own_is_a_site() -> None:
    one = ["mxa-001.gslb.pphosted.com", "mxb-001.gslb.pphosted.com"]
    other = ["mxa-002.gslb.pphosted.com", "mxb-002.gslb.pphosted.com"]
    assert site_name("a.example", one) != site_name("b.example", other)


def test_the_order_of_the_hosts_does_not_count() -> None:
    assert site_name("a.example", ["b.example.org", "a.example.org"]) == "a.example.org,b.example.org"
    assert site_name("b.example", ("a.example.org", "b.example.org")) == "a.example.org,b.example.org"
    assert site_name("c.example", {"a.example.org"}) == "a.example.org"


def test_a_domain_without_hosts_is_named_like_itself() -> None:
    assert site_name("example.com", []) == "example.com"


def test_a_host_outside_the_family_makes_another_site() -> None:
    assert site_name("a.example", ["aspmx.l.google.com", "mx.example.org"]) == "aspmx.l.google.com,mx.example.org"
    assert site_name("a.example", ["aspmx.l.google.com", "mta5.am0.yahoodns.net"]) not in FAMILY_NAMES


def test_a_suffix_is_whole_labels() -> None:
    assert family_of("mx.notgoogle.com") is None
    assert family_of("google.com.evil.example") is None
    assert family_of("google.com") == "google.com"


def test_long_names_are_abbreviated_and_stay_different() -> None:
    hosts = [f"mx{i}.a-rather-long-name.example.org" for i in range(8)]
    name = site_name("a.example", hosts)
    assert len(name) <= MAX_NAME
    assert name.startswith("mx0.a-rather-long-name.example.org,_")
    assert name == site_name("b.example", hosts[::-1])
    assert name != site_name("a.example", hosts[:-1])
    long = f"{'a' * 60}.{'b' * 60}.example"
    assert len(site_name("a.example", [long])) <= MAX_NAME


@pytest.mark.parametrize("hosts", [["capture"], ["discard"], ["localhost"], ["a", "b"], ["mx.example.org"], ["x" * 63]])
def test_no_site_of_the_dns_is_named_like_a_route(hosts: list[str]) -> None:
    name = site_name("example.com", hosts)
    assert not is_route(name)
    assert NAME.fullmatch(name)


def test_routes() -> None:
    assert is_route("capture")
    assert is_route("smtp.example.com:587")
    assert is_route("[2001:db8::1]:25")


def test_families_are_sound() -> None:
    suffixes = [suffix for family in FAMILIES for suffix in family.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert len(FAMILY_NAMES) == len(FAMILIES)
    for family in FAMILIES:
        assert family.name in family.suffixes
        assert family.reference
        assert all(NAME.fullmatch(suffix) and "." in suffix for suffix in family.suffixes)


@pytest.mark.parametrize(
    ("domain", "site"),
    [
        ("gmail.com", "google.com"),
        ("googlemail.com", "google.com"),
        ("hotmail.co.uk", "olc.protection.outlook.com"),
        ("yahoo.co.uk", "yahoodns.net"),
        ("yahoo.fr", "yahoodns.net"),
        ("web.de", "gmx.net"),
        ("wanadoo.fr", "orange.fr"),
        # This is another company.
        ("yahoo.co.jp", "yahoo.co.jp"),
        ("mail.example.com", "mail.example.com"),
    ],
)
def test_the_site_of_a_well_known_domain(domain: str, site: str) -> None:
    assert known_site(domain) == site


def test_a_domain_is_of_one_family() -> None:
    domains = [domain for family in FAMILIES for domain in (*family.domains, *family.suffixes)]
    assert len(set(domains)) == len(domains)


def test_a_file_with_unknown_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown field"):
        parse_families('[[family]]\nname = "a.b"\nsuffixes = ["a.b"]\nreference = "x"\nnonsense = 1')

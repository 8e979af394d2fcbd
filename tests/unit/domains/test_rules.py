"""Names, what a look means for a domain, when the next one is, and the records of a domain."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.policy.routes.routing import Routing
from cluster.settings import DeliverySettings, DomainSettings, Settings, SmtpSettings
from cluster.tenancy.domains import names
from cluster.tenancy.domains.domain import DomainKey, KeyState, SenderDomain
from cluster.tenancy.domains.findings import Finding, KeyFinding, Kind, Status, outcome
from cluster.tenancy.domains.publishing import publishing_of
from cluster.tenancy.domains.records import records, zone_lines
from cluster.tenancy.domains.schedule import next_look
from cluster.tenancy.tenant import Tenant
from tests.domains import PUBLISHING

NOW = datetime(2026, 3, 1, tzinfo=UTC)
VALID, MISSING, WRONG, AWAY = Status.VALID, Status.MISSING, Status.WRONG, Status.NOT_LOOKED_UP


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Acme.Example.", "acme.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("acme.co.uk", "acme.co.uk"),
        ("github.io", "github.io"),
        ("co.uk", None),
        ("com", None),
        ("localhost", None),
        ("192.0.2.1", None),
        ("a..example", None),
        ("acme.example\r\nX: y", None),
        ("acme.example\0", None),
        ("-a.example", None),
        ("a" * 64 + ".example", None),
        (".".join(["a" * 60] * 5), None),
        ("", None),
    ],
)
def test_sender_domains(text: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(names.BadName):
            names.sender_domain(text)
    else:
        assert names.sender_domain(text) == expected


@pytest.mark.parametrize("text", ["", "a b", "-a", "a-", "a..b", "é", "a\n", "x" * 64, ".".join(["a" * 60] * 4)])
def test_labels_and_selectors_that_are_none(text: str) -> None:
    with pytest.raises(names.BadName):
        names.subdomain_label(text, "acme.example")
    with pytest.raises(names.BadName):
        names.selector(text)


def test_selectors_are_never_used_twice() -> None:
    taken = [names.selector("S1")]
    for _ in range(5):
        taken += names.next_selectors(taken, 2)
    assert taken[:4] == ["s1", "s12", "s13", "s14"] and len(set(taken)) == 11


def finding(status: Status, kind: Kind = Kind.DKIM, selector: str = "s") -> Finding:
    return Finding(kind=kind, host="h", status=status, expected="", selector=selector)


def result(rsa: tuple[bool, Status], ed25519: tuple[bool, Status], path: Status = VALID) -> tuple[bool, bool]:
    keys = [KeyFinding("rsa", rsa[0], finding(rsa[1])), KeyFinding("ed25519", ed25519[0], finding(ed25519[1]))]
    found = outcome(keys, [finding(path, Kind.MX), finding(VALID, Kind.SPF)])
    return found.is_right, found.is_wrong


@pytest.mark.parametrize(
    ("rsa", "ed25519", "path", "is_right", "is_wrong"),
    [
        ((False, VALID), (False, VALID), VALID, True, False),
        ((False, VALID), (False, MISSING), VALID, True, False),
        ((False, VALID), (False, WRONG), VALID, False, False),
        ((False, VALID), (False, AWAY), VALID, False, False),
        ((False, MISSING), (False, VALID), VALID, False, True),
        ((True, VALID), (True, VALID), VALID, True, False),
        ((True, VALID), (True, MISSING), VALID, False, True),
        ((True, AWAY), (True, VALID), VALID, False, False),
        ((True, AWAY), (True, VALID), WRONG, False, True),
        ((True, VALID), (True, VALID), Status.WILDCARD, False, True),
        ((True, VALID), (True, VALID), AWAY, False, False),
    ],
)
def test_what_a_look_means(
    rsa: tuple[bool, Status], ed25519: tuple[bool, Status], path: Status, is_right: bool, is_wrong: bool
) -> None:
    assert result(rsa, ed25519, path) == (is_right, is_wrong)


def test_a_domain_without_a_key_is_not_right() -> None:
    assert not outcome([], [finding(VALID, Kind.SPF)]).is_right


@given(st.lists(st.tuples(st.sampled_from(["rsa", "ed25519"]), st.booleans(), st.sampled_from(Status)), max_size=5))
def test_only_valid_pending_keys_are_activated(keys: list[tuple[str, bool, Status]]) -> None:
    found = [
        KeyFinding(algorithm, is_active, finding(status, selector=str(number)))
        for number, (algorithm, is_active, status) in enumerate(keys)
    ]
    result = outcome(found, [])
    assert set(result.activated) == {
        str(number) for number, (_, is_active, status) in enumerate(keys) if not is_active and status is VALID
    }
    assert not (result.is_right and result.is_wrong)


def test_the_schedule() -> None:
    def pause(waited: timedelta | None, has_failed: bool = False, random: float = 0.5) -> timedelta:
        since = None if waited is None else NOW - waited
        return next_look(NOW, waits_since=since, has_failed=has_failed, random=random) - NOW

    minute, hour, day = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
    assert [pause(wait) for wait in (0 * minute, minute, 10 * minute, 6 * hour, 30 * day)] == [
        *(minute, minute, 5 * minute, 3 * hour, day)
    ]
    assert pause(None) == day and pause(None, has_failed=True) == hour
    assert pause(None, random=0) == day * 0.9 and pause(None, random=0.999) < day * 1.1


def a_domain(**fields: object) -> SenderDomain:
    key = DomainKey(
        id=1,
        algorithm="rsa",
        selector="postray",
        state=KeyState.ACTIVE,
        public_key="A" * 392,
        sealed_private_key=b"",
        created_at=NOW,
    )
    values: dict[str, object] = {"id": 7, "tenant_id": "tnt_1", "domain": "acme.example", "subdomain": "bounces"}
    return SenderDomain(**values | {"created_at": NOW, "keys": (key,)} | fields)  # type: ignore[arg-type]


def test_zone_lines_fit_a_zone_file() -> None:
    dkim, mx, spf, dmarc = zone_lines(records(a_domain(), PUBLISHING, NOW))
    name, _, strings = dkim.partition(" IN TXT ")
    assert name == "postray._domainkey.acme.example."
    assert strings.split(" ", 3)[0].startswith('"v=DKIM1;') and all(
        len(string) <= 255 for string in strings.strip('"').split('" "')
    )
    assert mx == "bounces.acme.example. IN MX 10 mx.postray.example."
    assert spf == 'bounces.acme.example. IN TXT "v=spf1 ip4:192.0.2.1 ~all"'
    assert dmarc == '_dmarc.acme.example. IN TXT "v=DMARC1; p=none"'


def test_the_return_path_of_an_older_version_needs_no_mx() -> None:
    found = records(a_domain(subdomain=""), PUBLISHING, NOW)
    assert [(record.kind, record.host) for record in found[1:]] == [
        (Kind.SPF, "acme.example"),
        (Kind.DMARC, "_dmarc.acme.example"),
    ]


def spf_of(settings: Settings, routing: str = "") -> str:
    return publishing_of(settings, Routing.parse(routing)).spf


def test_the_spf_record_follows_what_mail_leaves_from() -> None:
    sources = '[sources.a]\naddress = "192.0.2.1"\naddress6 = "2001:db8::1"\n'
    named = SmtpSettings(helo_name="out.example")
    assert spf_of(Settings(smtp=named), sources) == "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 ~all"
    assert spf_of(Settings(smtp=named)) == "v=spf1 a:out.example ~all"
    assert spf_of(Settings(smtp=SmtpSettings(helo_name="[192.0.2.9]"))) == "v=spf1 ip4:192.0.2.9 ~all"
    relayed = DeliverySettings(mode="relay", relay="relay.example:25")
    assert spf_of(Settings(smtp=named, delivery=relayed)) == "v=spf1 a:relay.example ~all"
    own = DomainSettings(spf=("include:_spf.example",))
    assert spf_of(Settings(domains=own), sources) == "v=spf1 include:_spf.example ~all"


def test_an_entry_of_another_tenant_wins_where_it_is_closer() -> None:
    tenant = Tenant(
        id="tnt_1",
        name="one",
        senders={"acme.example": True, "x.b.acme.example": False},
        others={"a.acme.example": False, "b.acme.example": True},
    )
    for domain, expected in (
        ("acme.example", "acme.example"),
        ("c.acme.example", "acme.example"),
        ("a.acme.example", None),
        ("z.a.acme.example", "acme.example"),
        ("b.acme.example", None),
        ("z.b.acme.example", None),
        ("x.b.acme.example", "x.b.acme.example"),
        ("other.example", None),
    ):
        assert tenant.sender_domain(domain) == expected, domain

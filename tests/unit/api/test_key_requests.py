"""What a new key may be: every fault with its field, and what is asked for in the spelling that is stored."""

from datetime import UTC, datetime
from typing import Any

import pytest

from api.http import help_texts
from api.http.refusals import Invalid
from api.keys.requests import CheckedKey, NewKeyRequest, checked_key
from cluster.access.scopes import SCOPES

NOW = datetime(2026, 4, 1, tzinfo=UTC)
OWN = ("mail.send", "stats.read", "admin.api_keys")


def checked(*, sandbox_only: bool = False, **fields: Any) -> CheckedKey:
    return checked_key(NewKeyRequest(**{"name": "k", **fields}), OWN, NOW, sandbox_only=sandbox_only)


def faults(**fields: Any) -> list[str | None]:
    with pytest.raises(Invalid) as caught:
        checked(**fields)
    return [fault.field for fault in caught.value.faults]


def test_a_key_has_all_that_its_maker_may_give_unless_it_says_less() -> None:
    assert checked().scopes == set(OWN)
    assert checked(scopes=["mail.send", "mail.send"]).scopes == {"mail.send"}
    assert checked_key(NewKeyRequest(name="k"), SCOPES, NOW).scopes == SCOPES.keys()
    assert checked_key(NewKeyRequest(name="k"), ["mail.send", "of.before"], NOW).scopes == {"mail.send"}


def test_scopes_that_may_not_be_given_are_named() -> None:
    with pytest.raises(Invalid) as caught:
        checked(scopes=["mail.send", "images.write", "domains.read", "mail.sned"])
    unknown, withheld = caught.value.faults
    assert (unknown.field, unknown.help) == ("scopes[3]", help_texts.ALL_SCOPES)
    assert unknown.message.startswith("There is no scope mail.sned; the nearest: mail.send")
    assert (withheld.field, withheld.message) == ("scopes", "This key may not give domains.read, images.write")


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"name": None}, ["name"]),
        ({"name": " "}, ["name"]),
        ({"name": "x" * 256}, ["name"]),
        ({"name": "a\r\nb"}, ["name"]),
        ({"name": "a\0"}, ["name"]),
        ({"name": "\u202ea"}, ["name"]),
        ({"scopes": []}, ["scopes"]),
        ({"scopes": [""]}, ["scopes[0]"]),
        ({"scopes": ["mail.send\0", "MAIL.SEND"]}, ["scopes[0]", "scopes[1]"]),
        ({"kind": "api2"}, ["kind"]),
        ({"expires_at": NOW.timestamp()}, ["expires_at"]),
        ({"expires_at": 0}, ["expires_at"]),
        ({"expires_at": -1e300}, ["expires_at"]),
        ({"expires_at": 1e300}, ["expires_at"]),
        ({"expires_at": 253_370_764_800}, ["expires_at"]),
        ({"expires_at": 10**30}, ["expires_at"]),
        ({"expires_at": "2026-03-31T23:59:59Z"}, ["expires_at"]),
        ({"expires_at": "tomorrow"}, ["expires_at"]),
        ({"expires_at": ""}, ["expires_at"]),
        ({"expires_at": "0001-01-01T00:00:00+23:59"}, ["expires_at"]),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, ["expires_at"]),
        ({"allowed_networks": ["192.0.2.1/24", "::/0", "x"]}, ["allowed_networks[0]", "allowed_networks[2]"]),
        ({"allowed_networks": ["192.0.2.1"] * 101}, ["allowed_networks"]),
        ({"name": "", "scopes": ["x"], "kind": "", "expires_at": 1}, ["name", "scopes[0]", "expires_at"]),
    ],
    ids=str,
)
def test_every_fault_has_its_field(fields: dict[str, Any], at_fault: list[str]) -> None:
    assert faults(**fields) == at_fault


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        ("2026-04-02", datetime(2026, 4, 2, tzinfo=UTC)),
        ("2026-04-02T10:00:00", datetime(2026, 4, 2, 10, tzinfo=UTC)),
        ("2026-04-02T12:00:00+02:00", datetime(2026, 4, 2, 10, tzinfo=UTC)),
        (int(datetime(2026, 4, 2, tzinfo=UTC).timestamp()), datetime(2026, 4, 2, tzinfo=UTC)),
        (None, None),
    ],
)
def test_an_expiry_is_seconds_or_iso(given: Any, moment: datetime | None) -> None:
    assert checked(expires_at=given).expires_at == moment


def test_networks_are_spelled_in_one_way() -> None:
    given = ["192.0.2.0/24", "::ffff:192.0.2.0/120", "2001:DB8::/32", "198.51.100.1"]
    assert checked(allowed_networks=given).allowed_networks == ("192.0.2.0/24", "2001:db8::/32", "198.51.100.1/32")


def test_a_sandbox_key_makes_sandbox_keys_only() -> None:
    assert checked(sandbox_only=True).sandbox and checked(sandbox=True).sandbox and not checked().sandbox
    with pytest.raises(Invalid) as caught:
        checked(sandbox_only=True, sandbox=False)
    assert [fault.field for fault in caught.value.faults] == ["sandbox"]


def test_the_kind_is_the_api_that_a_key_is_for() -> None:
    assert (checked().kind, checked(kind="api").kind, checked(kind="piisend").kind) == ("api", "api", "piisend")

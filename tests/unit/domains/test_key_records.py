"""DKIM key records and DMARC policies: what is read, and what makes one unfit."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.tenancy.domains import dmarc
from cluster.tenancy.domains.key_records import Malformed, fault, tags

KEY = b64encode(b"a public key of some length").decode()


@pytest.mark.parametrize(
    "record",
    [
        f"v=DKIM1; k=rsa; p={KEY}",
        f"p={KEY}",
        f"v=DKIM1;k=RSA;p={KEY};",
        f"v=DKIM1 ; t=s ; n=a note ; h=sha1:SHA256 ; s=email ; p={KEY[:8]} {KEY[8:]}",
        f" v = DKIM1 ; s=* ; unknown= ; p = {KEY} ; ",
    ],
)
def test_a_record_that_publishes_the_key(record: str) -> None:
    assert fault(record, "rsa", KEY) is None


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("", "no p="),
        ("v=spf1 -all", "must be DKIM1"),
        ("hello", "not a list of tag=value"),
        (f"k=rsa; v=DKIM1; p={KEY}", "not its first tag"),
        (f"v=DKIM1; p={KEY}; p=", "twice"),
        ("v=DKIM1; p=", "revoked"),
        (f"v=DKIM1; k=ed25519; p={KEY}", "the key is rsa"),
        (f"v=DKIM1; t=s:y; p={KEY}", "tested"),
        (f"v=DKIM1; h=sha1; p={KEY}", "sha256"),
        (f"v=DKIM1; s=other; p={KEY}", "mail"),
        (f"v=DKIM1; p={KEY[:-3]}", "not base64"),
        (f"v=DKIM1; p={KEY}é", "not base64"),
        (f"v=DKIM1; p={b64encode(b'another').decode()}", "another key"),
    ],
)
def test_a_record_that_does_not(record: str, reason: str) -> None:
    found = fault(record, "rsa", KEY)
    assert found is not None and reason in found


@given(st.text(max_size=200), st.sampled_from(["", "v=DKIM1;", "v=DKIM1; p=", f"v=DKIM1; p={KEY};"]))
def test_any_text_has_a_fault_that_can_be_shown(text: str, head: str) -> None:
    found = fault(head + text, "rsa", KEY)
    assert found is None or (found.isprintable() and len(found) < 200)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True).filter(lambda name: name != "v"),
        st.text(st.characters(exclude_characters=";"), max_size=20).map(str.strip),
        max_size=6,
    )
)
def test_a_list_of_tags_is_read_as_it_was_written(written: dict[str, str]) -> None:
    assert tags(";".join(f"{name}={value}" for name, value in written.items())) == written


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("v=DMARC1; p=none", None),
        ("v=DMARC1;p=REJECT; adkim=s; aspf=r; rua=mailto:x@acme.example", None),
        ("v=DMARC1", "p= must be"),
        ("v=DMARC1; p=maybe", "p= must be"),
        ("v=DMARC1; p=none; aspf=x", "aspf="),
        ("v=DMARC1; nothing", "tag=value"),
        ("v=DMARC12; p=none", "v= must be"),
    ],
)
def test_policies(record: str, reason: str | None) -> None:
    found = dmarc.fault(record)
    assert found is None if reason is None else found is not None and reason in found
    assert dmarc.policies([record, "other"]) == [record]


def test_a_malformed_record_says_why() -> None:
    with pytest.raises(Malformed) as raised:
        tags("v=DKIM1; \x1b[31m")
    assert "?[31m" in raised.value.reason

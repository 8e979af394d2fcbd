"""The addresses that name a message: they say what they were made of, and none can be made up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.ids import new_id
from cluster.message.return_address import Named, Purpose, beginning, message_of, read_return_address, return_address
from cluster.tracking.tokens import TokenKey, keys_by_id

OLD, NEW = TokenKey(1, b"a" * 32), TokenKey(2, b"b" * 32)
KEYS = keys_by_id([OLD, NEW])
MESSAGE = "msg_01K9ZQ4G8V2N7R5T0XWJ3C6DEF"
ADDRESS = return_address(
    NEW, Named(purpose=Purpose.REPORTS, tenant_number=7, message_id=MESSAGE, recipient_no=3), "bounces.example.com"
)
LOCAL = ADDRESS.partition("@")[0]

named = st.builds(
    Named,
    purpose=st.sampled_from(Purpose),
    tenant_number=st.integers(0, 2**32 - 1),
    message_id=st.builds(new_id, st.just("msg_")),
    recipient_no=st.none() | st.integers(0, 2**16 - 2),
)


@given(named, st.sampled_from([OLD, NEW]))
def test_an_address_says_what_it_was_made_of(what: Named, key: TokenKey) -> None:
    address = return_address(key, what, "b.example")
    assert read_return_address(address, KEYS) == what
    assert read_return_address(address.upper(), KEYS) == what
    assert len(address.partition("@")[0]) <= 64
    assert address.isascii() and address.islower()


def test_a_capture_page_finds_the_message_of_a_sender() -> None:
    assert ADDRESS.startswith(beginning(MESSAGE))
    assert message_of(ADDRESS) == message_of(ADDRESS.upper()) == MESSAGE
    assert message_of("someone@example.com") == message_of("b+short@example.com") == ""


@pytest.mark.parametrize("at", range(len(LOCAL)))
def test_a_changed_address_is_none_of_ours(at: int) -> None:
    other = "c" if LOCAL[at] != "c" else "d"
    assert read_return_address(f"{LOCAL[:at]}{other}{LOCAL[at + 1 :]}@bounces.example.com", KEYS) is None


@pytest.mark.parametrize(
    "address", [LOCAL, f"{LOCAL}x@a.example", f"{LOCAL[:-1]}@a.example", f"u{ADDRESS[1:]}", "", "@"]
)
def test_a_cut_or_longer_address_is_none_of_ours(address: str) -> None:
    assert read_return_address(address, KEYS) is None


def test_a_key_that_is_gone_reads_nothing() -> None:
    assert read_return_address(ADDRESS, keys_by_id([OLD])) is None


@pytest.mark.parametrize(
    "what",
    [
        Named(purpose=Purpose.REPORTS, tenant_number=2**32, message_id=MESSAGE, recipient_no=None),
        Named(purpose=Purpose.REPORTS, tenant_number=1, message_id=MESSAGE, recipient_no=2**16),
        Named(purpose=Purpose.REPORTS, tenant_number=1, message_id="msg_x", recipient_no=None),
    ],
)
def test_what_no_address_can_name(what: Named) -> None:
    with pytest.raises(ValueError):
        return_address(NEW, what, "b.example")

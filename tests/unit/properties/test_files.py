"""What is read from files again, whatever is in them: the ledger, and the three TOML files."""

import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.delivery.ledger import SUFFIX, Entry, Ledger
from cluster.policy.limits.rules import ShapingError
from cluster.policy.limits.shaping import Shaping
from cluster.policy.routes.routing import Routing, RoutingError
from cluster.settings import SettingsError, load
from tests.unit.delivery.test_ledger import ENTRIES
from tests.unit.policy.test_shaping import BASE


@contextmanager
def a_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="postray-property-") as name:
        yield Path(name)


def left_in(directory: Path) -> list[Entry]:
    ledger = Ledger(directory)
    try:
        return ledger.unsettled()
    finally:
        ledger.close()


def a_segment(entries: list[Entry]) -> bytes:
    """What one life of an actor wrote, to the octet."""
    with a_folder() as directory:
        ledger = Ledger(directory)
        ledger.unsettled()
        ledger.append(entries)
        (path,) = directory.glob(f"*{SUFFIX}")
        data = path.read_bytes().rstrip(b"\0")
        ledger.close()
    return data


WHOLE = a_segment(ENTRIES)


@given(st.binary(max_size=2000))
def test_a_ledger_of_any_octets_is_read_without_an_error(data: bytes) -> None:
    with a_folder() as directory:
        (directory / f"00000001{SUFFIX}").write_bytes(data)
        left_in(directory)


@given(st.binary(max_size=500))
def test_a_record_with_a_good_checksum_and_any_payload_harms_no_other(payload: bytes) -> None:
    record = struct.pack("<II", len(payload), crc32(payload)) + payload
    with a_folder() as directory:
        (directory / f"00000001{SUFFIX}").write_bytes(record + WHOLE)
        left = left_in(directory)
    # A payload that is a number marks all entries up to it as committed; an empty one ends the segment.
    assert left == ENTRIES[len(ENTRIES) - len(left) :]


@pytest.mark.parametrize("payload", [b"\x91" * 5000 + b"\x00", b"\xa1\xff", b"\xd9\x01\x80"])
def test_payloads_that_no_decoder_of_ours_expects_are_skipped(payload: bytes) -> None:
    """Nested deeper than the stack is, and text that is not UTF-8."""
    record = struct.pack("<II", len(payload), crc32(payload)) + payload
    with a_folder() as directory:
        (directory / f"00000001{SUFFIX}").write_bytes(record + WHOLE)
        assert left_in(directory) == ENTRIES


@given(st.integers(0, len(WHOLE)))
def test_a_ledger_cut_anywhere_keeps_the_whole_records_before_the_cut(end: int) -> None:
    with a_folder() as directory:
        (directory / f"00000001{SUFFIX}").write_bytes(WHOLE[:end])
        left = left_in(directory)
    assert left == ENTRIES[: len(left)]
    assert (len(left) == len(ENTRIES)) == (end == len(WHOLE))


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_damaged_octet_never_makes_an_entry_that_was_not_written(at: int, change: int) -> None:
    data = bytearray(WHOLE)
    data[at] ^= change
    with a_folder() as directory:
        (directory / f"00000001{SUFFIX}").write_bytes(data)
        assert all(entry in ENTRIES for entry in left_in(directory))


# TOML

_KEYS = st.sampled_from(
    [
        "http", "bind", "delivery", "mode", "relay", "rule", "automation", "site", "domain", "tenant", "name", "source",
        "sources", "pools", "pool", "route", "via", "connections", "messages", "retry", "lifetime", "tls", "warm_up",
        "address", "weight", "dns", "nameservers", "smtp", "prohibited_networks", "log", "levels", "action", "when",
    ]
)  # fmt: skip
_SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["10/s", "5m", "1h30m", "example.com", "*.example.com", "direct", "127.0.0.1:25", "10.0.0.0/8"]),
)


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            escaped = "".join(f"\\U{ord(c):08x}" if not c.isprintable() or c in '"\\' else c for c in value)
            return f'"{escaped}"'
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
        case float():
            return repr(value)
        case _:
            return str(value)


_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3), max_leaves=8
)
_DOCUMENTS = st.one_of(
    st.text(max_size=200),
    st.dictionaries(_KEYS, _VALUES, max_size=4).map(
        lambda tree: "\n".join(f"{key} = {_toml(value)}" for key, value in tree.items())
    ),
    st.lists(st.tuples(st.sampled_from(["rule", "automation", "route", "source"]), st.dictionaries(_KEYS, _VALUES)))
    .map(
        lambda tables: "\n".join(
            f"[[{name}]]\n" + "\n".join(f"{key} = {_toml(value)}" for key, value in table.items())
            for name, table in tables
        )
    ),
)  # fmt: skip


def _reads(read: Callable[[str], object], error: type[Exception], text: str) -> None:
    """The text is read, or refused with the error that its callers know, in a single line."""
    try:
        read(text)
    except error as refused:
        assert str(refused)
        assert len(str(refused).splitlines()) == 1, "one line for the operator"


@given(_DOCUMENTS)
def test_any_settings_file_is_read_or_refused_in_a_line(text: str) -> None:
    with a_folder() as directory:
        path = directory / "postray.toml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        _reads(lambda _: load(path, {}), SettingsError, text)


@given(st.binary(max_size=200))
def test_any_octets_for_a_settings_file_are_refused_in_a_line(data: bytes) -> None:
    with a_folder() as directory:
        path = directory / "postray.toml"
        path.write_bytes(data)
        _reads(lambda _: load(path, {}), SettingsError, "")


@given(_DOCUMENTS)
def test_any_shaping_file_is_read_or_refused_in_a_line(text: str) -> None:
    _reads(lambda text: Shaping.parse(text, base=BASE, default=BASE), ShapingError, text)


@given(_DOCUMENTS)
def test_any_routing_file_is_read_or_refused_in_a_line(text: str) -> None:
    _reads(Routing.parse, RoutingError, text)

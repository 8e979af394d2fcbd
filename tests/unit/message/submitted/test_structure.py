"""The places of parts: exact, and those that the standard library's parser finds."""

import time
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.message.submitted.header import header_at, without_fields
from cluster.message.submitted.structure import DEEPEST, MOST_PARTS, Part, structure_of


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def multipart(boundary: str, *parts: str, subtype: str = "mixed", preamble: str = "", end: str = "--\n") -> str:
    said = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\n\n{preamble}'
    return said + "".join(f"--{boundary}\n{part}\n" for part in parts) + f"--{boundary}{end}"


def contents(data: bytes) -> list[bytes]:
    """Of the parts without parts."""
    return [data[part.content : part.end] for part in walked(structure_of(data)) if not part.parts]


def walked(part: Part) -> Iterator[Part]:
    yield part
    for one in part.parts:
        yield from walked(one)


def test_parts_and_what_is_around_them() -> None:
    data = crlf(multipart("b", "\none", "X: y\n\ntwo\n", preamble="before\n") + "after\n")
    root = structure_of(data)
    assert [data[one.start : one.end] for one in root.parts] == [b"\r\none", b"X: y\r\n\r\ntwo\r\n"]
    assert contents(data) == [b"one", b"two\r\n"]
    assert root.end == len(data)


def test_nested_parts() -> None:
    inner = multipart("a", "\n1", "\n2", subtype="alternative")
    data = crlf(multipart("ab", inner, "\n3"))
    assert contents(data) == [b"1", b"2", b"3"]
    assert len(structure_of(data).parts) == 2


def test_a_missing_last_delimiter() -> None:
    inner = multipart("a", "\n1", "\n2", end="").removesuffix("--a")
    assert contents(crlf(multipart("b", inner, "\n3"))) == [b"1", b"2\r\n", b"3"]
    assert contents(crlf(multipart("b", "\n1", "\n2", end="").removesuffix("--b"))) == [b"1", b"2\r\n"]


def test_parts_without_header_or_content() -> None:
    assert contents(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\n--b\r\nX: y\r\n\r\n--b--") == [
        b"",
        b"",
        b"",
    ]


def test_a_header_that_runs_into_a_delimiter() -> None:
    data = crlf('Content-Type: multipart/mixed; boundary="b:c"\n\n--b:c\nX: y\n--b:c\n\nlast\n--b:c--\n')
    assert contents(data) == [b"", b"last"]


def test_odd_boundaries() -> None:
    for boundary in ("=_a b'()+_,-./:=?", "-", "a" * 70, "--", "b--"):
        assert contents(crlf(multipart(boundary, "\n1", "\n2"))) == [b"1", b"2"], boundary
    quoted = crlf('Content-Type: multipart/mixed; boundary="a\\"b"\n\n--a"b\n\n1\n--a"b--\n')
    assert contents(quoted) == [b"1"]
    extended = crlf("Content-Type: multipart/mixed; boundary*0=ab;\n boundary*1=cd\n\n--abcd\n\n1\n--abcd--\n")
    assert contents(extended) == [b"1"]


def test_white_space_behind_a_delimiter_belongs_to_it() -> None:
    assert contents(crlf(multipart("b", "\n1").replace("--b\n", "--b \t\n"))) == [b"1"]


def test_only_whole_lines_are_delimiters() -> None:
    assert contents(crlf(multipart("b", "\n--bc\n --b\nx--b\n--b-\n1"))) == [crlf("--bc\n --b\nx--b\n--b-\n1")]


def test_the_same_boundary_within_itself_is_not_read_again() -> None:
    assert contents(crlf(multipart("b", multipart("b", "\n1"), "\n2"))) == [b"", b"1"]


def test_bounds() -> None:
    data = "\nx"
    for depth in range(2 * DEEPEST):
        data = multipart(f"b{depth}", data)
    assert len(list(walked(structure_of(crlf(data))))) == DEEPEST + 1
    many = crlf(multipart("b", *["\nx"] * (MOST_PARTS + 1)))
    assert structure_of(many).parts == () and structure_of(many).media.kind == ""


def test_a_hostile_message_takes_time_in_proportion_to_its_octets() -> None:
    """Each would take minutes if a line, a header or a boundary were looked at more than a few times."""
    size = 200_000
    began = time.process_time()
    structure_of(crlf(multipart("b", *["X: y"] * 900)) + b"a" * size)
    structure_of(crlf(multipart("b", "\n" + "--b x\n" * (size // 6))))
    structure_of(crlf(multipart("b", "\n" + "--" + "b" * size)))
    structure_of(crlf("Content-Type: multipart/mixed; boundary=" + '"' * size + "\n\n"))
    structure_of(crlf("Content-Type: multipart/mixed" + ";a*0=b" * (size // 6) + "\n\n"))
    header_at(b"X: y\r\n" + b" \r\n" * (size // 3) + b"\x00")
    header_at(b"a" * size)
    assert time.process_time() - began < 5


LINES = st.lists(
    st.sampled_from(
        [
            "--a",
            "--a--",
            "--b",
            "--b--",
            "--a \t",
            "",
            "text",
            "X: y",
            " z",
            "--ab",
            "From x",
            "Content-Type: multipart/mixed; boundary=b",
            "Content-Type: message/rfc822",
        ]
    ),
    max_size=30,
)


@settings(max_examples=300)
@given(LINES, st.booleans())
def test_places_are_nested_and_in_order(lines: list[str], has_end: bool) -> None:
    data = "\r\n".join(["Content-Type: multipart/mixed; boundary=a", "", *lines]).encode() + b"\r\n" * has_end
    root = structure_of(data)
    assert (root.start, root.end) == (0, len(data))
    for part in walked(root):
        at = part.content
        pieces = [data[part.start : at]]
        for inner in part.parts:
            assert part.content <= at <= inner.start <= inner.content <= inner.end <= part.end
            pieces += (data[at : inner.start], data[inner.start : inner.end])
            at = inner.end
            assert data[: inner.start].endswith(b"\r\n") or inner.start == len(data)
        assert b"".join([*pieces, data[at : part.end]]) == data[part.start : part.end]


@settings(max_examples=300)
@given(
    st.recursive(
        st.sampled_from(["\none", "X: y\n\ntwo\n", "\n--", "\n-- \n"]),
        lambda inner: st.tuples(
            st.lists(inner, min_size=1, max_size=3),
            st.sampled_from("abcdefgh"),
            st.sampled_from(["", "before\n", "\n"]),
            st.booleans(),
        ),
        max_leaves=12,
    )
)
def test_parts_are_those_of_the_standard_library(tree: object) -> None:
    names = iter(range(1000))

    def laid_out(node: object) -> str:
        if isinstance(node, str):
            return node
        assert isinstance(node, tuple)
        parts, letter, preamble, has_end = node
        name = f"{letter}{next(names)}"
        return multipart(name, *map(laid_out, parts), preamble=preamble, end="--\n" if has_end else "--")

    data = crlf(laid_out(tree if isinstance(tree, tuple) else ([tree], "z", "", True)))
    assert contents(data) == list(payloads(message_from_bytes(data)))


def payloads(message: "Message[str, str]") -> Iterator[bytes]:
    if message.is_multipart():
        for part in message.get_payload():
            assert isinstance(part, Message)
            yield from payloads(part)
    else:
        payload = message.get_payload()
        assert isinstance(payload, str)
        yield payload.encode()


def test_the_places_of_fields() -> None:
    data = b"Subject:x\r\nX-A : one\r\n\ttwo\r\nEmpty:\r\n\r\nbody"
    header = header_at(data)
    assert [field.name for field in header.fields] == [b"subject", b"x-a", b"empty"]
    assert [field.text(data) for field in header.fields] == ["x", "one\ttwo", ""]
    assert b"".join([data[field.start : field.end] for field in header.fields]) == data[: header.end]
    assert data[header.body :] == b"body" and not header.is_odd


def test_headers_that_end_oddly() -> None:
    assert header_at(b"A: b").fields[0].end == 4
    for odd in (b"From x\r\n", b" A: b\r\n", b"A b: c\r\n", b"A: b\r\nnothing\r\n\r\n", b"\xc3\xa9: x\r\n"):
        assert header_at(odd).is_odd, odd
    for even in (b"", b"\r\n", b"A: b\r\n", b"A: b\r\n\r\n", b"A: \xff\r\n\r\n"):
        assert not header_at(even).is_odd, even


def test_fields_are_taken_out() -> None:
    data = b"Date: x\r\n y\r\nA: b\r\ndate: z\r\n\r\nDate: body"
    assert without_fields(data, (b"date",)) == b"A: b\r\n\r\nDate: body"
    assert without_fields(b"Date: x", (b"date",)) == b""

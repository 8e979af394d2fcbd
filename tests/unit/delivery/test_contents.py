"""The cache of contents: bounded by the memory that they take, whatever their parts are."""

import gc
import tracemalloc
from datetime import UTC, datetime

import pytest

from actors.compose.skeleton import Skeleton
from actors.compose.templated import Version
from actors.delivery import contents
from actors.delivery.contents import Compiled, Contents, measured
from cluster.journal.records import Address, Attachment, BodyPart, Content, PreparedPersonalization, encode
from cluster.message.header_fields import NotComposable
from cluster.templates.compiled import compile_texts
from cluster.templates.texts import TemplateTexts, TemplateUse

MIB = 1024 * 1024
FROM = Address("sender@mail.example.com", "Sender")


def encoded(text: str = "Dear -name-, hello. ", attachments: tuple[Attachment, ...] = ()) -> bytes:
    parts = (BodyPart("text/plain", text), BodyPart("text/html", f"<p>{text}</p>"))
    return encode(Content(from_=FROM, subject="To -name-", parts=parts, attachments=attachments))


def compose(compiled: Compiled, keys: tuple[str, ...] = ("-name-",)) -> None:
    assert isinstance(compiled.skeleton, Skeleton)
    personalization = PreparedPersonalization(
        to=(Address("reader@example.org", None),), substitutions=dict.fromkeys(keys, "Reader")
    )
    compiled.skeleton.compose(personalization, message_id="<m@mail.example.com>", date=datetime.now(UTC))


def held_by(count: int, cache: Contents, data: bytes, *, is_shared: bool, keys: tuple[str, ...] = ("-name-",)) -> int:
    """Bytes that Python's own allocator counts for a cache through which so many requests have gone, without what waits
    for the garbage collector or is kept by it for reuse."""
    compose(
        cache.add("before", data, {}, is_shared=is_shared), keys
    )  # modules loaded with the first request do not count
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            request_id = f"req_{number:026}"
            compose(cache.add(request_id, bytes(bytearray(data)), {}, is_shared=is_shared), keys)
            cache.used([request_id])
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("is_shared", [True, False])
def test_small_requests_take_no_more_memory_than_the_bound(is_shared: bool) -> None:
    cache = Contents(most_bytes=MIB, encoded_bytes=MIB // 4)
    held = held_by(1000, cache, encoded(), is_shared=is_shared)  # ten times what it holds
    assert 0.1 * MIB < cache.size <= MIB
    assert held < 1.1 * MIB


def test_a_text_that_is_all_keys_is_counted_as_what_it_becomes() -> None:
    data = encoded("ab" * 1000)
    cache = Contents(most_bytes=2 * MIB)
    held = held_by(60, cache, data, is_shared=True, keys=("ab",))
    assert len(data) * 60 < MIB  # by its octets, all of them would stay
    assert held < 1.3 * 2 * MIB


def test_keys_count_though_python_does_not_see_what_finds_them() -> None:
    cache = Contents()
    compiled = cache.add("req_1", encoded("short"), {}, is_shared=True)
    for message in range(5):
        compose(compiled, tuple(f"{number:04}{message}" for number in range(2000)))
    cache.used(["req_1"])
    assert cache.size > 5 * 10_000 * 48  # bytes for each of their characters, as measured


def test_key_sets_of_a_request_do_not_pile_up() -> None:
    cache = Contents()
    compiled = cache.add("req_1", encoded("short"), {}, is_shared=True)
    for message in range(40):
        compose(compiled, tuple(f"{number:04}{message:02}" for number in range(1600)))
    cache.used(["req_1"])
    assert cache.size < 6 * MIB


def test_what_messages_make_larger_is_counted_when_they_are_composed() -> None:
    cache = Contents()
    compiled = cache.add("req_1", encoded("-name- " * 500), {}, is_shared=True)
    before = cache.size
    compose(compiled)
    cache.used(["req_1"])
    assert cache.size > before + 10_000


def test_a_request_of_one_message_stays_encoded() -> None:
    cache = Contents()
    data = encoded()
    once = cache.add("req_1", data, {}, is_shared=False)
    assert cache.size == len(data) + contents.ENTRY_BYTES
    assert cache.get("req_1") is None
    assert cache.encoded("req_1") == (data, {})
    twice = cache.add("req_1", data, {}, is_shared=True)  # a second message needs it
    assert twice.content == once.content
    assert cache.get("req_1") is twice
    assert cache.encoded("req_1") is None


def test_versions_of_templates_count_with_what_is_compiled_from_them() -> None:
    """They may have left their own cache; and a content that is kept encoded does not hold its version."""
    cache = Contents(most_bytes=MIB, encoded_bytes=MIB // 4)
    use = TemplateUse("v_01", b"x" * 32)
    data = encode(Content(from_=FROM, template=use))
    for number in range(20):
        version = Version(compile_texts(TemplateTexts(html=f"{number} {{{{name}}}}" + "x" * 20_000)))
        assert version.held_bytes > 100_000
        cache.add(f"bulk_{number}", data, {}, version, is_shared=True)
        cache.add(f"single_{number}", data, {}, version, is_shared=False)
        cache.used([f"bulk_{number}"])
    assert "bulk_0" not in cache
    assert "single_0" in cache
    assert cache.size <= MIB
    assert len([number for number in range(20) if f"bulk_{number}" in cache]) < MIB // version.held_bytes


def test_what_the_garbage_collector_leaves_alone_is_measured_too() -> None:
    sender = Address("sender@mail.example.com", "n" * 50_000)
    data = encode(Content(from_=sender, subject="Hello", parts=(BodyPart("text/plain", "Hello"),)))
    compiled = Contents().add("req_1", data, {}, NotComposable("no template"), is_shared=True)
    assert measured(compiled, MIB) > 50_000


def test_what_a_version_holds_is_not_measured_with_each_content() -> None:
    version = Version(compile_texts(TemplateTexts(html="ä {{name}} {{#each x}}{{y}}{{/each}}")))
    compiled = Contents().add("req_1", encode(Content(from_=FROM)), {}, version, is_shared=True)
    assert measured(compiled, MIB) < 20_000


def test_a_flood_of_single_messages_drives_out_nothing_that_is_shared() -> None:
    cache = Contents(most_bytes=MIB, encoded_bytes=MIB // 4)
    shared = cache.add("bulk", encoded(), {}, is_shared=True)
    for number in range(3000):
        cache.add(f"req_{number}", encoded(), {}, is_shared=False)
    assert cache.get("bulk") is shared
    assert "req_0" not in cache
    assert "req_2999" in cache
    assert cache.size <= MIB


def test_the_least_recently_used_goes_first() -> None:
    cache = Contents(most_bytes=50_000)
    for name in ("a", "b"):
        compose(cache.add(name, encoded(), {}, is_shared=True))
    cache.get("a")
    for number in range(1000):
        cache.add(f"req_{number}", encoded(), {}, is_shared=True)
        assert cache.get("a") is not None
    assert "b" not in cache


def test_the_one_in_use_stays_whatever_it_takes() -> None:
    cache = Contents(most_bytes=1000)
    compiled = cache.add("large", encoded("text " * 1000), {}, is_shared=True)
    cache.used(["large"])
    assert cache.get("large") is compiled
    cache.add("next", encoded("text " * 1000), {}, is_shared=True)
    assert "large" not in cache


def test_what_two_claims_bring_is_counted_once() -> None:
    cache = Contents()
    for _ in range(3):
        cache.add("req_1", encoded(), {}, is_shared=False)
    assert cache.size == len(encoded()) + contents.ENTRY_BYTES


def test_files_count() -> None:
    cache = Contents()
    file = Attachment(sha256=b"x" * 32, filename="file.bin", type="application/octet-stream", size=7)
    compiled = cache.add("req_1", encoded(attachments=(file,)), {b"x" * 32: b"y" * 500_000}, is_shared=True)
    compose(compiled)
    cache.used(["req_1"])
    assert cache.size > 600_000  # base64 alone is a third more


def test_measuring_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Contents()
    compiled = cache.add("req_1", encoded("ab" * 2000), {}, is_shared=True)
    compose(compiled, ("ab",))
    whole = measured(compiled, most=MIB)
    assert 50_000 < whole < MIB
    monkeypatch.setattr(contents, "MEASURED_OBJECTS", 20)
    assert measured(compiled, most=MIB) == MIB


def test_nothing_can_be_made_of_it() -> None:
    cache = Contents()
    file = Attachment(sha256=b"x" * 32, filename="gone.bin", type="application/octet-stream", size=7)
    compiled = cache.add("req_1", encoded(attachments=(file,)), {}, is_shared=True)
    assert isinstance(compiled.skeleton, NotComposable)
    assert cache.get("req_1") is compiled

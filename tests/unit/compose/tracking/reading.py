"""What tracking makes of a text, in a form that tests can compare."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from actors.compose.tracking.transform import TrackingTransform
from actors.compose.transform import Addressee, Text
from cluster.ids import new_id
from cluster.message.forms import is_words
from cluster.tracking.choices import Tracking
from cluster.tracking.tokens import Kind, TokenKey, read

KEY = TokenKey(3, b"k" * 32)
ADA = Addressee(new_id("msg_"), 0, "ada@example.com")
BASE = "https://t.example"
URL = re.compile(r"https://t\.example/t/(?:c/(?P<c>[\w-]+)|u/(?P<u>[\w-]+)|o/(?P<o>[\w-]+)\.gif)|\bm=(?P<m>[\w-]+)")
PIXEL = re.compile(r'<img src="<open>" width="1" [^>]*>')


def changed(
    text: str,
    holes: Sequence[str] = (),
    values: Mapping[str, str] | None = None,
    kind: str = "text/html",
    **choices: Any,
) -> str | None:
    """The text of Ada's copy; ``\\0`` stands for a hole."""
    transform = TrackingTransform(Tracking(base_url=BASE, tenant_number=1, **choices), KEY)
    text_of_copy = transform.change(Text(kind, tuple(text.split("\0")), tuple(holes)))
    if text_of_copy is None:
        return None
    pieces = [text_of_copy.literals[0]]
    filled = text_of_copy.filled(ADA, values or {})
    assert filled == Text(kind, text_of_copy.literals, text_of_copy.holes).filled(ADA, values or {}), "one by one"
    if text_of_copy.fill is not None and text_of_copy.fill(ADA, values or {}) is not None:
        assert all(is_words(filled[hole]) for hole in text_of_copy.words), "no examination is needed"
    for value, literal in zip(filled, text_of_copy.literals[1:], strict=True):
        pieces += (value, literal)
    return "".join(pieces)


def tracked(text: str, *args: Any, **choices: Any) -> str | None:
    """The text of Ada's copy as ``changed`` makes it, its tokens shown as what they name."""
    copy = changed(text, *args, **choices)
    return None if copy is None else PIXEL.sub("<pixel>", URL.sub(_named, copy))


def _named(url: re.Match[str]) -> str:
    if url["c"]:
        named = read(url["c"], Kind.CLICK, {KEY.id: KEY.key})
        assert named is not None and named.target is not None and named.recipient.email == ADA.email
        return f"<{named.target.link_index}:{named.target.url}>"
    if url["u"]:
        named = read(url["u"], Kind.UNSUBSCRIBE, {KEY.id: KEY.key})
        assert named is not None and named.preferences is not None
        return f"<leave {named.preferences.group_id or 'all'}>"
    named = read(url["o"] or url["m"], Kind.OPEN, {KEY.id: KEY.key})
    assert named is not None and named.recipient.message_id == ADA.message_id
    return "<open>" if url["o"] else "m=<open>"

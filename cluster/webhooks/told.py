"""What events that are posted say of their message: its custom arguments, and its Message-ID where the sender set one.

It is kept beside the message, apart from the bodies, and only where there is something to say.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from cluster.policy.routes.domains import domain_of

MESSAGE_ID = "message-id"


class Told(Struct, frozen=True, omit_defaults=True):
    """Of a request, or of one of its messages."""

    custom_args: dict[str, Any] = msgspec.field(default_factory=dict)
    message_id: str = ""
    """As the sender gave it, with its angle brackets."""


_NOTHING = Told()
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Told)


def encode_told(custom_args: dict[str, Any], headers: Mapping[str, str]) -> bytes | None:
    """The stored form; None where there is nothing to say."""
    message_id = ""
    if headers:
        message_id = next((value for name, value in headers.items() if name.lower() == MESSAGE_ID), "")
    return _encoder.encode(Told(custom_args, message_id)) if custom_args or message_id else None


def custom_args_of(request: bytes | None, message: bytes | None) -> dict[str, Any]:
    """The custom arguments of a message: its own take precedence over those of its request."""
    shared, own = _decoded(request).custom_args, _decoded(message).custom_args
    return {**shared, **own} if shared and own else own or shared


def smtp_id_of(request: bytes | None, message: bytes | None, message_id: str, from_email: str) -> str:
    """The value of Message-ID (RFC 5322 §3.6.4), as it is composed."""
    return (
        _decoded(message).message_id or _decoded(request).message_id or f"<{message_id}@{domain_of(from_email)}>"
    ).strip()


def _decoded(told: bytes | None) -> Told:
    return _NOTHING if told is None else _decoder.decode(told)

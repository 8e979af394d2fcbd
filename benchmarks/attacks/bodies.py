"""Expensive requests: large ones, ones with many elements, compressed ones. Each is built on first use. Pure."""

import base64
import gzip
from typing import Any

import msgspec

from benchmarks.attacks.attack import Request

DOMAIN = "attacker.example"
FROM = {"email": f"attacker@{DOMAIN}"}
"""An address of a domain that the attacker's tenant owns."""
TO = {"email": "u@attack.example"}
MEGABYTE = 1_000_000


def body(**changes: Any) -> bytes:
    """A valid request, with ``changes`` to it."""
    whole = {
        "from": FROM,
        "subject": "attack",
        "content": [{"type": "text/plain", "value": "x"}],
        "personalizations": [{"to": [TO]}],
    }
    return msgspec.json.encode(whole | changes)


def packed(data: bytes) -> Request:
    return Request(gzip.compress(data, 9), encoding="gzip")


def personalizations(count: int, fields: int) -> bytes:
    """About 90 bytes for each field of each personalization."""
    data = {f"key{n}": "v" * 80 for n in range(fields)}
    return body(
        personalizations=[
            {"to": [{"email": f"u{n}@attack.example"}], "dynamic_template_data": data} for n in range(count)
        ]
    )


def empty_recipients(count: int) -> bytes:
    return b'{"personalizations":[{"to":[' + b"{}," * count + b"{}]}]}"


def empty_members(size: int) -> bytes:
    member = gzip.compress(b"")
    return member * (size // len(member))


def long_categories(recipients: int) -> bytes:
    per_message = 600
    return body(
        categories=[f"{n}" + "c" * 250 for n in range(10)],
        personalizations=[
            {"to": [{"email": f"u{n}@m{message}.attack.example"} for n in range(per_message)]}
            for message in range(recipients // per_message)
        ],
    )


def long_text(size: int) -> bytes:
    return body(content=[{"type": "text/plain", "value": "x" * size}])


def attachments(count: int, size: int) -> bytes:
    content = base64.b64encode(bytes(range(256)) * (size * 3 // 4 // 256)).decode()
    return body(attachments=[{"content": content, "filename": f"f{n}"} for n in range(count)])


def keys(count: int) -> dict[str, str]:
    return {f"k{n}": "" for n in range(count)}


def nested(size: int) -> bytes:
    return b'{"custom_args":{"a":' + b"[" * size


def digits(size: int) -> bytes:
    return b'{"custom_args":{"a":0.' + b"0" * size + b"1}}"

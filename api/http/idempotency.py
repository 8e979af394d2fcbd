"""The Idempotency-Key header: a client's name for a request that it may send again.

The name and the use are those of draft-ietf-httpapi-idempotency-key-header; the value is taken as it is, quotes
included.
"""

import hashlib
from typing import TYPE_CHECKING

from api.http.refusals import Fault, Invalid
from cluster.journal.idempotency import IdempotencyKey
from cluster.journal.records import ApiKey

if TYPE_CHECKING:  # the worker process must not load the web framework
    from litestar.types import Scope

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
"""A header of the answer to a repeat; its value is ``true``."""
LONGEST = 256
ABOUT_KEY = f"A name of 1 to {LONGEST} characters: a repeat within 24 h gets the first answer, with another body a 409"
_NAME = HEADER.lower().encode()


def idempotency_key(scope: "Scope") -> str | None:
    """The key of a request; None when it has none. Raises Invalid."""
    found = None
    for name, value in scope["headers"]:
        if name == _NAME:
            if found is not None:
                raise Invalid([Fault("Only one key", HEADER)])
            found = value.decode("latin-1")
    if found is not None and not (0 < len(found) <= LONGEST and found.isascii() and found.isprintable()):
        raise Invalid([Fault(f"A key has 1 to {LONGEST} printable ASCII characters", HEADER)])
    return found


def named_request(text: str, key: ApiKey, body: bytes) -> IdempotencyKey:
    """What a repeat of this request is compared with. ``body`` is the inflated one."""
    return IdempotencyKey(text=text, sandbox=key.sandbox, body_sha256=hashlib.sha256(body).digest())

"""Bodies of POST /v3/mail/send: the least that a test needs."""

import base64
from typing import Any


def mail(**changes: Any) -> dict[str, Any]:
    """A request without faults, and changes to it; a change to None takes the key away."""
    body: dict[str, Any] = {
        "personalizations": [{"to": [{"email": "ada@example.com", "name": "Ada"}]}],
        "from": {"email": "hello@mail.example.com", "name": "Acme"},
        "subject": "Welcome to Acme",
        "content": [
            {"type": "text/plain", "value": "Welcome, Ada!"},
            {"type": "text/html", "value": "<h1>Welcome, Ada!</h1>"},
        ],
    }
    body |= changes
    return {key: value for key, value in body.items() if value is not None}


def to(*emails: str, **own: Any) -> dict[str, Any]:
    """A personalization."""
    return {"to": [{"email": email} for email in emails], **own}


def many(count: int) -> list[str]:
    return [f"user{number}@example.com" for number in range(count)]


def attachment(**changes: Any) -> dict[str, Any]:
    part = {"content": base64.b64encode(b"%PDF-1.4").decode(), "filename": "a.pdf", "type": "application/pdf"} | changes
    return {key: value for key, value in part.items() if value is not None}

"""Bodies of POST /v3/mail/send: the least that a test needs."""

import base64
from typing import Any

from cluster.journal.templates import ActiveTemplate
from cluster.templates.texts import TemplateUse

TEMPLATE = "d-01J8ZQ4Y7M3N5P6R8S9T0V1W2X"
"""The id of a template."""


def templated(**changes: Any) -> dict[str, Any]:
    """A request with a template, and changes to it."""
    return mail(content=None, subject=None, template_id=TEMPLATE, **changes)


def a_template(**changes: Any) -> ActiveTemplate:
    """A dynamic template with an active version, and changes to it."""
    fields: dict[str, Any] = {
        "generation": "dynamic",
        "use": TemplateUse("v_1", b"s" * 32),
        "subject": "Hello {{name}}",
    }
    return ActiveTemplate(**fields | changes)


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

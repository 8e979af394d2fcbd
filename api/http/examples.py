"""Examples of requests: each stands beside its route, is shown in the OpenAPI document, and is sent by a test.

``example=Example(…)`` is an argument of the route's decorator. tests/integration/operating/test_examples.py sends each
example; there, the ids of this module stand for things that exist.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from litestar.routes import BaseRoute
from msgspec import Struct, field

EXAMPLE = "example"
"""The route option with the example."""

MESSAGE_ID = "msg_01KQ7B2XWJ5T0E8M3N6R9VA4CD"
BATCH_ID = "bat_01KQ7B2XWJ5T0E8M3N6R9VA4CE"
DOMAIN_ID = "4711"
TEMPLATE_ID = "d-01KQ7B2XWJ5T0E8M3N6R9VA4CK"
VERSION_ID = "v_01KQ7B2XWJ5T0E8M3N6R9VA4CL"
API_KEY_ID = "key_01KQ7B2XWJ5T0E8M3N6R9VA4CG"
TENANT = "acme"
TENANT_ID = "tnt_01KQ7B2XWJ5T0E8M3N6R9VA4CH"
OPERATOR_TOKEN_ID = "opt_01KQ7B2XWJ5T0E8M3N6R9VA4CF"
LINK_ID = "4712"
GROUP_ID = "4713"
IMPORT_ID = "imp_01KQ7B2XWJ5T0E8M3N6R9VA4CM"
ERASE_JOB_ID = "ers_01KQ7B2XWJ5T0E8M3N6R9VA4CR"
REPLAY_ID = "rpl_01KQ7B2XWJ5T0E8M3N6R9VA4CQ"
WEBHOOK_ID = "wh_01KQ7B2XWJ5T0E8M3N6R9VA4CN"
SENDGRID_WEBHOOK_ID = "wh_01KQ7B2XWJ5T0E8M3N6R9VA4CP"
IMAGE_ID = "img_01KQ7B2XWJ5T0E8M3N6R9VA4CJ"

PIXEL_TOKEN = "AQEBndO1-_FLgcKfmmTJb5mQAA9cAbJHUqXoi7uBMg9WAQAA5nFUK0mxXjCL8BX4.gif"
UNSUBSCRIBE_TOKEN = "AQEBnc6xd5IugORQdTYTtRGOAA-lgGdfC0CM6k2Tw_9XarsAAwAAfuTq5X-UUNkSIaqM"
CLICK_TOKEN = "AQEBndO1-_FLgcKfmmTJb5mQAA9cAbJHUqXoi7uBMg9WAgAAZXhhbXBsZS5jb20ABhn3nrGCfPnj6d-A"


class Example(Struct, frozen=True, kw_only=True):
    """The values of one request. A route without parameters and without a body needs none."""

    path: Mapping[str, str] = field(default_factory=dict)
    """The path parameters, by name."""
    query: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """The query parameters, by name."""
    body: Any = None
    """The JSON body as dicts, lists, texts and numbers; None for a route without a body."""


def add_examples(document: dict[str, Any], routes: Iterable[BaseRoute]) -> None:
    """Write the routes' examples into an OpenAPI document: at each parameter and at the request's body. Raises
    KeyError for an example of a parameter or a body that its route does not have."""
    for route in routes:
        for handler in getattr(route, "route_handlers", ()):
            if example := handler.opt.get(EXAMPLE):
                for method in handler.http_methods:
                    _add(document["paths"][route.path_format][method.lower()], example)


def _add(operation: dict[str, Any], example: Example) -> None:
    parameters = {(shown["in"], shown["name"]): shown for shown in operation.get("parameters", ())}
    for place, values in (("path", example.path), ("query", example.query)):
        for name, value in values.items():
            parameters[place, name]["example"] = value
    if example.body is not None:
        for content in operation["requestBody"]["content"].values():
            content["example"] = example.body

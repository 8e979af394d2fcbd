"""aiohttp's connections, with a bound on interim answers.

aiohttp bounds the head of an answer, and pauses a connection whose body is not read. But it accepts any number of
interim answers (RFC 9110 §15.2), and each takes time of the event loop that all endpoints share.
"""

from functools import partial
from typing import Any, cast

from aiohttp import TCPConnector
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError

MOST_INTERIM = 16
"""Interim answers before an answer."""


class BoundedConnector(TCPConnector):
    """A connection fails when it gets more than ``MOST_INTERIM`` interim answers."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._factory = partial(cast(type[ResponseHandler], _Answers), loop=self._loop)


class _Answers(ResponseHandler):
    """The answers on one connection."""

    _interim = 0

    def feed_data(self, data: Any, size: int = 0) -> None:
        self._interim = self._interim + 1 if data[0].code < 200 else 0
        if self._interim <= MOST_INTERIM:
            super().feed_data(data, size)
        elif self._interim == MOST_INTERIM + 1:
            self.set_exception(HttpProcessingError(message=f"more than {MOST_INTERIM} interim answers"))
            if self.transport is not None:
                self.transport.close()

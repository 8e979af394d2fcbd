"""The running postray of a data directory, for its operator: over HTTP, with a token derived from the secret.

This module owns how commands find it, how they tell which user types them, and how they show its errors. It never uses
the journal or Ray.
"""

import http.client
import json
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

import click
import msgspec

from cluster.commands import doing
from cluster.installation import running
from cluster.keys import operator_token
from cluster.printable import printable
from cluster.settings import Settings, SettingsError, load, variable_name
from cluster.vault import FILE, RESTORE, find_ring

_Made = TypeVar("_Made")

DEFAULT_FILE = "postray.toml"
UNAUTHORIZED = 401
ANSWER_S = 60.0
"""Longer than any call may take; looking up the sites of thousands of domains takes some seconds."""

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens URLs of postray. Credentials are for postray only: a proxy from the environment must not see them."""

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Json = Any
"""Decoded JSON: the API's structs are documented in its OpenAPI document."""


def settings_file(config: str | None) -> Path | None:
    """The active settings file; None when there is none."""
    path = Path(config) if config else Path(DEFAULT_FILE)
    return path if config or path.exists() else None


def settings_of(config: str | None) -> Settings:
    """The settings, with paths of policy files relative to the settings file. Raises click.ClickException."""
    file = settings_file(config)
    try:
        settings = load(file, os.environ)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    if problem := moved_problem(file, settings.data_dir):
        raise click.ClickException(f"data_dir: {problem}")
    folder, here = (file.parent if file else Path()).resolve(), Path.cwd()

    def beside(key: str, named: str) -> str:
        """The path of a policy file; the default, too, is relative to the settings file."""
        return str((here if variable_name(("delivery", key)) in os.environ else folder) / named)

    delivery = msgspec.structs.replace(
        settings.delivery,
        shaping_file=beside("shaping_file", settings.delivery.shaping_file),
        routing_file=beside("routing_file", settings.delivery.routing_file),
    )
    tls = settings.tls
    if tls.ca_file:  # for actors, which have another working directory
        tls = msgspec.structs.replace(tls, ca_file=os.path.abspath(tls.ca_file))
    return msgspec.structs.replace(settings, delivery=delivery, tls=tls)


def running_on(settings: Settings) -> running.Run:
    """The postray that runs on the settings' data directory. Raises click.ClickException when none does."""
    run = run_of(settings)
    if run is None:
        raise click.ClickException(f"postray is not running on {Path(settings.data_dir).resolve()}")
    return run


def run_of(settings: Settings) -> running.Run | None:
    """The postray that runs on the settings' data directory. That of a cluster goes on without the command that started
    it, so it counts as running until it is ended."""
    data_dir = Path(settings.data_dir).resolve()
    run = running.read_run(data_dir)
    if run is None:
        return None
    is_held = bool(settings.ray.address) or not running.DataLock(data_dir).is_free()
    return run if is_held else None


def moved_problem(file: Path | None, data_dir: str) -> str | None:
    """Why an existing installation is no longer found: a relative data_dir, which is now relative to its settings file,
    was relative to the working directory before."""
    now = Path(data_dir)
    if file is None or not now.is_absolute() or now.exists() or not now.is_relative_to(file.absolute().parent):
        return None
    former = Path.cwd() / now.relative_to(file.absolute().parent)
    if former == now or not (former / "run.lock").exists():
        return None
    return f"{now} does not exist, and {former} holds the data of an older version: move it there, or name it in full"


class Instance:
    """Calls of /api/admin. Every failure is a click.ClickException with the reason."""

    def __init__(self, url: str, *tokens: str) -> None:
        """``tokens`` are tried in their order: a postray that runs since before a rotation knows only the former."""
        self._url = url
        self._tokens = list(tokens)

    @classmethod
    def of(cls, config: str | None) -> "Instance":
        """The instance that runs on the settings' data directory. Raises click.ClickException when none does."""
        settings = settings_of(config)
        run = running_on(settings)
        data_dir = Path(settings.data_dir).resolve()
        ring = find_ring(settings.secret, settings.previous_secret, data_dir)
        if ring is None:
            raise click.ClickException(f"{data_dir / FILE} is missing: {RESTORE}")
        return cls(run.url, *(operator_token(key) for key in (ring.current, *(one.key for one in ring.former))))

    def get(self, path: str, **query: str | float | None) -> Json:
        return self._call("GET", path, query)

    def pages(self, path: str, after: str = "", **query: str | float | None) -> Iterator[Json]:
        """The pages of a list whose answers have ``next``; ``after``: that of the page before the first one."""
        place: str | None = after
        while place is not None:
            page = self.get(path, **query, after=place or None)
            yield page
            place = page["next"]

    def delete(self, path: str, **query: str | float | None) -> Json:
        return self._call("DELETE", path, query)

    def post(self, path: str, **body: Json) -> Json:
        return self._call("POST", path, {}, {name: value for name, value in body.items() if value is not None})

    def patch(self, path: str, **body: Json) -> Json:
        return self._call("PATCH", path, {}, body)

    def put(self, path: str, **body: Json) -> Json:
        return self._call("PUT", path, {}, body)

    def upload(self, path: str, file: BinaryIO, kind: str) -> Json:
        """Send a file as the body; ``kind`` is its media type."""
        with self._open("POST", path, {}, file, ANSWER_S, kind) as answer, self._failures_told():
            return json.loads(answer.read())

    def download(self, path: str, file: BinaryIO) -> None:
        """Write an answer to a file, as it arrives."""
        with self._open("GET", path, {}, None, ANSWER_S) as answer, self._failures_told():
            shutil.copyfileobj(answer, file)

    def lines(self, path: str, max_wait_s: float, **query: str | float | None) -> Iterator[Json]:
        """The objects of an NDJSON answer, as they arrive. ``max_wait_s``: the longest gap between two, in seconds."""
        with self._open("GET", path, query, None, max_wait_s) as answer, self._failures_told():
            for line in answer:
                yield json.loads(line)

    def _call(self, method: Method, path: str, query: dict[str, Any], body: Json = None) -> Json:
        """The decoded answer; None for one without a body."""
        with self._open(method, path, query, body, ANSWER_S) as answer, self._failures_told():
            content = answer.read()
            return json.loads(content) if content else None

    def _open(
        self, method: Method, path: str, query: dict[str, Any], body: Json, max_wait_s: float, kind: str = ""
    ) -> Any:
        """``kind``: the media type of a body that is a file; others are JSON."""
        given = urllib.parse.urlencode({name: value for name, value in query.items() if value is not None})
        url = f"{self._url}/api/admin/{path}{'?' + given if given else ''}"
        data = body if kind or body is None else json.dumps(body).encode()
        with self._failures_told():
            while True:
                headers = {
                    "Authorization": f"Bearer {self._tokens[0]}",
                    "Content-Type": kind or "application/json",
                    **doing.headers(),
                }
                if kind:
                    body.seek(0)  # a former token may have been tried
                    headers["Content-Length"] = str(os.fstat(body.fileno()).st_size)
                request = urllib.request.Request(url, method=method, data=data, headers=headers)
                try:
                    return direct.open(request, timeout=max_wait_s)
                except urllib.error.HTTPError as error:
                    if error.code != UNAUTHORIZED or len(self._tokens) == 1:
                        raise
                    error.close()
                    del self._tokens[0]

    @contextmanager
    def _failures_told(self) -> Iterator[None]:
        try:
            yield
        except urllib.error.HTTPError as error:
            raise click.ClickException(refusal(error.code, error.read())) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise click.ClickException(f"postray does not answer at {self._url}: {error}") from error


def path_part(text: str) -> str:
    """A text as one segment of a path."""
    return urllib.parse.quote(text, safe="")


def refusal(status: int, body: bytes) -> str:
    """The text of an error's body: a line for each fault, then one for each way out."""
    try:
        faults = json.loads(body)["errors"]
        lines = [f"{fault['field']}: {fault['message']}" if fault["field"] else fault["message"] for fault in faults]
        ways_out = dict.fromkeys(fault["help"] for fault in faults if fault["help"])
        return "\n".join(map(printable, (*lines, *ways_out)))
    except (ValueError, KeyError, TypeError):
        return f"postray answered {status}"


def in_place(make: Callable[[Path], _Made], settings: Settings) -> _Made:
    """The result of ``make`` for the data directory. Raises click.ClickException, Unsafe."""
    try:
        return make(Path(settings.data_dir))
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise click.ClickException(f"data_dir: {reason}") from error

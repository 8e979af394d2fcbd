"""Settings from environment variables: ``POSTRAY_HTTP_BIND`` sets ``http.bind``. Pure."""

import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal, Union, get_args, get_origin

from cluster.settings_words import SettingsError, nearest_names, number

PREFIX = "POSTRAY_"


def overlay(tree: dict[str, Any], environ: Mapping[str, str], keys: Iterable[tuple[tuple[str, ...], Any]]) -> None:
    """Set the keys of ``tree`` that ``POSTRAY_…`` variables name. ``keys``: all that there are, with their types.
    Raises SettingsError."""
    known = {variable_name(path): (path, kind) for path, kind in keys}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        if variable not in known:
            raise SettingsError(f"unknown variable {variable}{nearest_names(variable, known)}")
        path, kind = known[variable]
        section = tree
        for name in path[:-1]:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise SettingsError(f"{'.'.join(path[:-1])} must be a table")
        try:
            section[path[-1]] = _parse(text, kind)
        except ValueError as error:
            raise SettingsError(f"{variable}: {error}") from error


def variable_name(path: tuple[str, ...]) -> str:
    """The variable of a key: POSTRAY_HTTP_BIND for ("http", "bind")."""
    return f"{PREFIX}{'_'.join(path)}".upper()


@contextmanager
def without_settings(environ: MutableMapping[str, str]) -> Iterator[None]:
    """Within this context ``environ`` has no variable of the settings."""
    taken = {name: environ.pop(name) for name in list(environ) if name.startswith(PREFIX)}
    try:
        yield
    finally:
        environ.update(taken)


def _parse(text: str, kind: Any) -> Any:
    """A variable's text as the type of its key. Tables are TOML values; lists are TOML values or comma-separated."""
    origin = get_origin(kind)
    if kind is str or origin in (Literal, Union, types.UnionType):
        return text
    if kind in (int, float):
        return number(text, kind)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{text!r} is neither true nor false")
        return text.lower() == "true"
    if origin is tuple and not text.lstrip().startswith("["):
        element = get_args(kind)[0]
        return [_parse(item.strip(), element) for item in text.split(",") if item.strip()]
    return tomllib.loads(f"value = {text}")["value"]

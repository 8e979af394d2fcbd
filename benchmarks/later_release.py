"""A scratch release of postray, later than the present one by a field: its source with a field more in some of what
actors tell each other and of what the journal keeps.

Processes of it run with its folder first among those that Python imports from (PYTHONPATH); the present release stays
as it is. The rolling scenario makes it.
"""

import ast
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("actors", "analytics", "api", "cluster")
FIELD = "of_a_later_release"
VERSION = f"{version('postray')}+later"
# What equals the default is left out where a struct is stored without its defaults; what a function makes is not.
_WRITTEN = f'{FIELD}: str = msgspec.field(default_factory="new".lower)'
CHANGED: Mapping[str, tuple[str, ...]] = {
    "cluster/events.py": ("Delivered",),
    "cluster/journal/records.py": ("Content", "DueDelivery"),
    "cluster/routing/offer.py": ("OfferAnswer",),
}
"""The structs with the field, by their files: an event in the log, the content of a request, a delivery in an offer,
and the answer to one."""


def make_later_release(folder: Path) -> None:
    """Write it into a folder, which is made."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name, structs in CHANGED.items():
        path = folder / name
        path.write_text(with_field(path.read_text(encoding="utf-8"), structs), encoding="utf-8")
    # What the processes say that they run (importlib.metadata).
    told = folder / f"postray-{VERSION}.dist-info" / "METADATA"
    told.parent.mkdir()
    told.write_text(f"Metadata-Version: 2.1\nName: postray\nVersion: {VERSION}\n", encoding="utf-8")


def with_field(source: str, structs: tuple[str, ...]) -> str:
    """A module's source with the field after all others of these structs. Raises KeyError where one is not there."""
    lines = source.splitlines()
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    for at in sorted((_after_fields(classes[name]) for name in structs), reverse=True):
        lines.insert(at, f"    {_WRITTEN}")
    after = max(_imports(source))
    return "\n".join([*lines[:after], "import msgspec", *lines[after:], ""])


def _after_fields(struct: ast.ClassDef) -> int:
    """The line before which a field can be inserted: before the first method, or at the end."""
    for node in struct.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return min(one.lineno for one in (node, *node.decorator_list)) - 1
    assert struct.end_lineno is not None
    return struct.end_lineno


def _imports(source: str) -> Iterator[int]:
    """The last lines of a module's imports."""
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            assert node.end_lineno is not None
            yield node.end_lineno

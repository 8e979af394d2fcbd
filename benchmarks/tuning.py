"""Command-line options from a scenario's options: one per field, with its bounds, its default and its help text.

A field's type contains all of it: ``Annotated[int, Meta(ge=1, le=64, description="Connections.")]``. So every option
has bounds, and no default is written twice.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec
from msgspec import Struct
from msgspec.inspect import BoolType, Field, FloatType, IntType, Metadata, StrType, StructType, Type, VarTupleType

from cluster.commands.output import FiniteRange

F = TypeVar("F", bound=Callable[..., Any])


def options(kind: type[Struct]) -> Callable[[F], F]:
    """A decorator that adds an option for each field of ``kind``."""
    described = msgspec.inspect.type_info(kind)
    assert isinstance(described, StructType)

    def decorate(command: F) -> F:
        for field in reversed(described.fields):
            command = _option(field)(command)
        return command

    return decorate


def _option(field: Field) -> Callable[[F], F]:
    kind, help_ = _unwrapped(field.type)
    flag = "--" + field.name.replace("_", "-")
    if isinstance(kind, BoolType):
        return click.option(f"{flag}/--no-{flag[2:]}", field.name, default=field.default, show_default=True, help=help_)
    multiple = isinstance(kind, VarTupleType)
    if isinstance(kind, VarTupleType):
        kind, _ = _unwrapped(kind.item_type)
    return click.option(
        flag,
        field.name,
        type=_click_type(kind),
        default=field.default,
        show_default=True,
        multiple=multiple,
        help=help_ + (" May be given several times." if multiple else ""),
    )


def _unwrapped(kind: Type) -> tuple[Type, str]:
    """The type, and its description."""
    if isinstance(kind, Metadata):
        inner, said = _unwrapped(kind.type)
        return inner, (kind.extra_json_schema or {}).get("description", said)
    return kind, ""


def _click_type(kind: Type) -> click.ParamType[Any]:
    if isinstance(kind, IntType):
        return click.IntRange(kind.ge, kind.le)
    if isinstance(kind, FloatType):
        return FiniteRange(kind.ge, kind.le)
    assert isinstance(kind, StrType), f"no option can be made of {kind}"
    return click.STRING

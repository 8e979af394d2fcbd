"""Finds the fields of a body that its type does not have, so that a misspelt one is seen. Pure.

A body is decoded by a strict twin of its type, which costs nothing more. Only where that refuses it, because of an
unknown field or because of a fault, the body is decoded a second time without strictness, and its names are read. The
names that a client chooses itself (the keys of a dict) are never unknown. ``null`` means absent, so an unknown field
that is null says nothing.
"""

from codecs import BOM_UTF8
from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Raw, Struct, structs

from api.http.decoding import decode
from api.http.ignored import Ignored
from api.http.places import LONGEST_NAME

T = TypeVar("T")

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_ARRAY: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[Raw])
_BRACE, _BRACKET = b"{["
_NULL = Raw(b"null")


class NamingDecoder(Generic[T]):
    """Decodes JSON to a type that does not contain itself, and names the fields that the type does not have."""

    def __init__(self, decoder: msgspec.json.Decoder[T]) -> None:
        """``decoder`` decodes to the type and skips unknown fields."""
        self._lenient = decoder
        twins = _Twins()
        self._strict: msgspec.json.Decoder[T] = msgspec.json.Decoder(twins.of(decoder.type))
        self._shape = _shape(decoder.type, twins)

    def decode(self, body: bytes, ignored: Ignored) -> T:
        """The decoded body; its unknown fields are added to ``ignored``. Raises what ``decode`` raises."""
        try:
            return self._strict.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        value = decode(self._lenient, body)
        if self._shape is not None:
            _find(self._shape, body.removeprefix(BOM_UTF8).lstrip(), "", ignored)
        return value


class _Twins:
    """Subclasses of structs that forbid unknown fields, in them and in the structs of their fields."""

    def __init__(self) -> None:
        self._made: dict[type[Struct], type[Struct]] = {}

    def of(self, type_: Any) -> Any:
        """The type with each struct in it replaced by its twin."""
        if isinstance(type_, type) and issubclass(type_, Struct):
            if type_ not in self._made:
                self._made[type_] = self._twin(type_)
            return self._made[type_]
        origin, args = get_origin(type_), get_args(type_)
        if origin is Annotated:
            return Annotated[self.of(args[0]), *type_.__metadata__]
        if origin in (Union, UnionType):
            return reduce(or_, [self.of(arg) for arg in args])
        if origin in (list, tuple, dict):
            return origin[tuple(arg if arg is ... else self.of(arg) for arg in args)]
        return type_

    def _twin(self, type_: type[Struct]) -> type[Struct]:
        fields: list[Any] = []
        for one in structs.fields(type_):
            defaults: dict[str, Any] = {}
            if one.default is not NODEFAULT:
                defaults["default"] = one.default
            elif one.default_factory is not NODEFAULT:
                defaults["default_factory"] = one.default_factory
            fields.append((one.name, self.of(one.type), msgspec.field(name=one.encode_name, **defaults)))
        return msgspec.defstruct(
            type_.__name__, fields, bases=(type_,), module=type_.__module__, kw_only=True, forbid_unknown_fields=True
        )


class _Shape(Struct, kw_only=True):
    """The names that a JSON value may have: of the fields of an object, and within the items of an array or the values
    of a map."""

    strict: msgspec.json.Decoder[Any]
    """Refuses a value with unknown fields."""
    fields: "dict[str, _Shape | None] | None" = None
    items: "_Shape | None" = None
    values: "_Shape | None" = None


def _shape(type_: Any, twins: _Twins) -> _Shape | None:
    """None where any name is allowed."""
    origin, args = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return _shape(args[0], twins)
    if origin in (Union, UnionType):
        shapes = [shape for arg in args if (shape := _shape(arg, twins))]
        return shapes[0] if len(shapes) == 1 else None
    if isinstance(type_, type) and issubclass(type_, Struct):
        fields = {one.encode_name: _shape(one.type, twins) for one in structs.fields(type_)}
        if (tag := type_.__struct_config__.tag_field) is not None:
            fields[tag] = None
        return _Shape(strict=msgspec.json.Decoder(twins.of(type_)), fields=fields)
    if origin in (list, tuple) and (items := _shape(args[0], twins)):
        return _Shape(strict=msgspec.json.Decoder(twins.of(type_)), items=items)
    if origin is dict and (values := _shape(args[1], twins)):
        return _Shape(strict=msgspec.json.Decoder(twins.of(type_)), values=values)
    return None


def _find(shape: _Shape, raw: bytes | Raw, path: str, ignored: Ignored) -> None:
    """Add the unknown fields of a JSON value that matches its type."""
    if memoryview(raw)[0] != (_BRACE if shape.items is None else _BRACKET):
        return  # null, or another type of a union
    if shape.items is not None:
        for index, item in enumerate(decode(_ARRAY, raw)):
            _look_into(shape.items, item, f"{path}[{index}]", ignored)
        return
    prefix = f"{path}." if path else ""
    for name, value in decode(_OBJECT, raw).items():
        if shape.fields is None:
            _look_into(shape.values, value, prefix + name[:LONGEST_NAME], ignored)
        elif name in shape.fields:
            _look_into(shape.fields[name], value, prefix + name, ignored)
        elif value != _NULL:
            ignored.ignore(prefix + name[:LONGEST_NAME])


def _look_into(shape: _Shape | None, raw: Raw, path: str, ignored: Ignored) -> None:
    """Find the unknown fields of a part, if it has any."""
    if shape is not None:
        try:
            shape.strict.decode(raw)
        except msgspec.ValidationError:
            _find(shape, raw, path, ignored)

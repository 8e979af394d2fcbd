"""The forms in which processes of different releases speak to each other, and in which the journal and files keep
things: which there are, an example of each, and the same as a later release would write it, with fields that today's
does not have. ``python -m tests.forms`` records those of the present release."""

import pickle
import sys
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from functools import partial
from inspect import getmembers, isclass, iscoroutinefunction
from io import BytesIO
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from actors.capture.sink import CaptureSink
from actors.delivery.deliverer import Deliverer
from actors.mail_in.server import MailInServer
from actors.recorder import Recorder
from actors.scheduler import Scheduler
from actors.supervisor import Collected, Supervisor
from actors.webhooks.actor import WebhooksActor
from actors.webhooks.fanning_out import OfTenant
from analytics.queries import Details, MessageEvents
from cluster.commands.export import State
from cluster.context import Context, Facts
from cluster.events import Delivered, Logged, ProcessedTogether
from cluster.installation.backup_folder import Manifest
from cluster.installation.running import Run
from cluster.journal.excerpts import ContentShort, PersonalizationShort, References, ReportTerms, SuppressionTerms
from cluster.journal.fence import Fence
from cluster.journal.records import Content, DueDelivery, Outcome, PreparedPersonalization
from cluster.journal.silences import Silences
from cluster.journal.suppressions import EntryPlace, Position
from cluster.journal.webhook_replays import ReplayFilter
from cluster.launch.host_process import HostProcess
from cluster.metrics import Reading
from cluster.nodes import NodeState, WantedNodes
from cluster.policy.balance.assignment import Assignment
from cluster.policy.balance.loads import ActorLoad
from cluster.policy.forms import FORMS, Form, made
from cluster.policy.routes.destinations import Destination, destination
from cluster.policy.routes.membership import make_ring
from cluster.policy.routes.ownership import Candidate
from cluster.suppression.imported import LineFault, Progress
from cluster.templates.texts import TemplateTexts
from cluster.tenancy.domains.findings import Finding
from cluster.tenancy.limits import RequestLimits
from cluster.tenancy.settings import TenantSettings
from cluster.webhooks.bundles import OwedEvent
from cluster.webhooks.oauth import Credentials
from cluster.webhooks.told import Told

RECORDED = Path(__file__).parent / "recorded"
LATER = "of_a_later_release"
ACTORS = (CaptureSink, Deliverer, MailInServer, Recorder, Scheduler, Supervisor, WebhooksActor, HostProcess)
PICKLED = (Context, Facts, Collected)
"""What passes between actors beside arguments and answers of their methods."""
STORED: dict[str, tuple[Any, str]] = {
    "event_log": (list[Logged | ProcessedTogether], "msgpack"),
    "ledger": (tuple[int, Outcome, Delivered] | int, "msgpack"),
    "messages.personalization": (PreparedPersonalization, "msgpack"),
    "offer": (list[DueDelivery], "msgpack"),
    "requests.content": (Content, "msgpack"),
    "run": (Run, "json"),
    "asked.metrics": (list[Reading], "msgpack"),
    "asked.nodes": (list[NodeState], "msgpack"),
    "asked.problem": (str | None, "msgpack"),
    "asked.readiness": (dict[str, str | None], "msgpack"),
    "asked.wanted_nodes": (WantedNodes | None, "msgpack"),
    "backup": (Manifest, "json"),
    "export": (State, "json"),
    "pages.entries": (EntryPlace, "json"),
    "pages.suppressions": (Position, "json"),
    "request_demands": (list[tuple[str, str, float]], "msgpack"),
    "shared": (tuple[bytes, dict[bytes, bytes]], "msgpack"),
    "timeline.asked": (tuple[str, str], "msgpack"),
    "timeline.found": (MessageEvents, "msgpack"),
    "webhook_replays.filters": (ReplayFilter, "json"),
    "webhooks.oauth": (Credentials, "json"),
    "sender_domains.findings": (tuple[Finding, ...], "json"),
    "site_assignment": (Assignment, "msgpack"),
    "clickhouse.details": (Details, "json"),
    "delivery_actors.load": (ActorLoad, "msgpack"),
    "suppression_imports.faults": (list[LineFault], "json"),
    "suppression_imports.progress": (Progress, "msgpack"),
    "template_texts": (TemplateTexts, "msgpack"),
    "tenants.limits": (RequestLimits, "json"),
    "tenants.settings": (TenantSettings, "json"),
    "webhook_bundles.event": (OwedEvent, "msgpack"),
    "webhook_bundles.told": (Told, "msgpack"),
}
"""What the journal and files keep, what is encoded before it passes between actors, and where a page of a list ends, as
clients hand it from one API process to another: the type, and the encoding."""
EXCERPTS: dict[str, tuple[Any, ...]] = {
    "event_log": (list[OfTenant],),
    "messages.personalization": (PersonalizationShort, ReportTerms),
    "requests.content": (ContentShort, References, SuppressionTerms),
}
"""The types of which some of it is read alone."""
PLAIN: dict[Any, Any] = {
    int: 7,
    float: 2.5,
    str: "text",
    bytes: b"bytes",
    bool: True,
    NoneType: None,
    Any: "any",
    Awaitable: None,  # a handle of the object store, which is Ray's to pass
    date: date(2026, 1, 2),
    datetime: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    timedelta: timedelta(seconds=9),
}
ABSTRACT: dict[Any, Any] = {Mapping: dict, Sequence: list, Collection: list, AbstractSet: frozenset}


def between_actors() -> list[type[Struct]]:
    """What actors pass to each other in calls and answers."""
    found: set[type[Struct]] = set()
    for actor in ACTORS:
        for name, method in getmembers(actor, iscoroutinefunction):
            if not name.startswith("_"):
                for hint in get_type_hints(method).values():
                    _collect(hint, found)
    for kind in PICKLED:
        _collect(kind, found)
    return sorted(found - {Fence}, key=name_of)  # each process makes its own fence


def name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__name__}"


def _collect(hint: Any, found: set[type[Struct]]) -> None:
    if isclass(hint) and issubclass(hint, Struct):
        if hint in found:
            return
        found.add(hint)
        for field in get_type_hints(hint).values():
            _collect(field, found)
    for argument in get_args(hint):
        _collect(argument, found)


# Examples


def example(hint: Any) -> Any:
    """A value of a type, the same each time, with every field set."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        several = [one for one in arguments if one not in (NoneType, Fence, Silences)]
        return example(several[0]) if several else None
    if origin is Literal:
        return arguments[0]
    if origin in (tuple, list, frozenset, dict) or origin in ABSTRACT:
        return _of_many(origin, arguments)
    if isclass(hint) and issubclass(hint, Enum):
        return next(iter(hint))
    if isclass(hint) and issubclass(hint, Struct):
        hints = get_type_hints(hint)
        return hint(**{name: example(hints[name]) for name in hint.__struct_fields__})
    return PLAIN[origin or hint]


def _of_many(origin: Any, arguments: tuple[Any, ...]) -> Any:
    kind = ABSTRACT.get(origin, origin)
    if kind is dict:
        return {example(arguments[0]): example(arguments[1])}
    if kind is tuple and arguments[-1] is not Ellipsis:
        return tuple(map(example, arguments))
    return kind([example(arguments[0])])


def recorded_pickle(kind: type[Struct]) -> bytes:
    return pickle.dumps(example(kind), protocol=4)


def recorded_stored(name: str) -> bytes:
    hint, encoding = STORED[name]
    return encode(example_of_all(hint), encoding)


def example_of_all(hint: Any) -> Any:
    """Of a list of one of several kinds, an example of each."""
    (inner, *_) = get_args(hint) or (hint,)
    if get_origin(hint) is list and get_origin(inner) in (Union, UnionType):
        return [example(kind) for kind in get_args(inner)]
    return example(hint)


def encode(value: Any, encoding: str) -> bytes:
    return msgspec.msgpack.encode(value) if encoding == "msgpack" else msgspec.json.encode(value)


def decode(data: bytes, encoding: str, hint: Any = Any) -> Any:
    decoder = msgspec.msgpack.decode if encoding == "msgpack" else msgspec.json.decode
    return decoder(data, type=hint)


# What every process makes by itself

MEMBERS = (
    Candidate("delivery-0-0"),
    Candidate("delivery-1-0", frozenset({"192.0.2.1", "192.0.2.2"})),
    Candidate("delivery-2-0", frozenset({"192.0.2.2"})),
)
PLACES = (
    *(Destination(f"mx.d{number}.example.org") for number in range(20)),
    *(Destination("mx.example.org", "192.0.2.2", share, 4) for share in range(4)),
    Destination("heavy.example.org"),
    Destination("smtp.example.net:587", "192.0.2.1"),
)
MESSAGES = tuple(f"msg_{number:026d}" for number in range(20))


def owners() -> dict[str, Any]:
    """What members of a ring must agree on: its name, who owns what, and the share of each message."""
    ring = make_ring(MEMBERS, Assignment(version=7, placed={"heavy.example.org": "delivery-2-0"}))
    return {
        "name": ring.name,
        "owners": {str(place): ring.owner(place) for place in PLACES},
        "shares": [destination("mx.example.org", "", message_id, 8).share for message_id in MESSAGES],
    }


COMPUTED: dict[str, Callable[[], Any]] = {"ring": owners}
"""What processes do not tell each other, since each makes the same of the same facts."""


# As a later release writes it


class _LaterPickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Form):
            fields = {name: getattr(value, name) for name in value.__struct_fields__}
            return made, (type(value), {**fields, LATER: "new"})
        return NotImplemented


def later_pickle(value: Any) -> bytes:
    told = BytesIO()
    _LaterPickler(told, protocol=4).dump(value)
    return told.getvalue()


def later_stored(value: Any, encoding: str) -> bytes:
    return encode(_with_more(value, encoding), encoding)


def _with_more(value: Any, encoding: str) -> Any:
    """What it is encoded from, with one more field in each struct."""
    if isinstance(value, Struct):
        return _struct_with_more(value, encoding)
    if isinstance(value, dict):
        return {key: _with_more(one, encoding) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_more(one, encoding) for one in value]
    return value


def _struct_with_more(value: Struct, encoding: str) -> Any:
    config = value.__struct_config__
    fields = {
        encoded: _with_more(getattr(value, name), encoding)
        for name, encoded in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
    }
    tag = [config.tag] if config.tag is not None else []
    if config.array_like:
        return [*tag, *fields.values(), "new"]
    return ({config.tag_field: config.tag} if tag else {}) | fields | {LATER: "new"}


# Recording


def files() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The files of the present forms, by their names."""
    for kind in between_actors():
        yield f"{name_of(kind)}.pickle", partial(recorded_pickle, kind)
    for name, (_, encoding) in STORED.items():
        yield f"{name}.{encoding}", partial(recorded_stored, name)
    for name, compute in COMPUTED.items():
        yield f"{name}.computed", partial(_recorded_computed, compute)


def _recorded_computed(compute: Callable[[], Any]) -> bytes:
    return msgspec.json.encode(compute())


def understood(path: Path) -> tuple[Any, Any]:
    """What a recorded form says, and what is said of that which today's code makes of it."""
    name, _, encoding = path.name.rpartition(".")
    data = path.read_bytes()
    if encoding == "pickle":
        return said_in(data), said_in(pickle.dumps(pickle.loads(data), protocol=4))
    if encoding == "computed":
        return msgspec.json.decode(data), msgspec.json.decode(_recorded_computed(COMPUTED[name]))
    hint, _ = STORED[name]
    return decode(data, encoding), decode(encode(decode(data, encoding, hint), encoding), encoding)


def excerpt(data: bytes, encoding: str, hint: Any) -> tuple[Any, Any]:
    """What is read alone of something stored, without what it does not say, and all that it says."""
    return _without_none(decode(encode(decode(data, encoding, hint), encoding), encoding)), decode(data, encoding)


def _without_none(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: _without_none(one) for name, one in told.items() if one is not None}
    return told


class _Raw(pickle.Unpickler):
    """Forms as the fields that are said of them."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (made.__module__, made.__name__):
            return lambda kind, fields: fields
        return super().find_class(module, name)


def said_in(data: bytes) -> Any:
    return _Raw(BytesIO(data)).load()


def is_part_of(said: Any, whole: Any) -> bool:
    """Whether all that is said is in the whole, which may have more fields, at the end where they have no names."""
    if isinstance(said, dict):
        return said.keys() <= whole.keys() and all(is_part_of(one, whole[name]) for name, one in said.items())
    if isinstance(said, (list, tuple)):
        return len(said) <= len(whole) and all(map(is_part_of, said, whole))
    return bool(said == whole)


def main(folder: Path) -> None:
    """Record what is not recorded yet there: what is recorded stays as it was. Then all of it must be understood."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, record in files():
        path = folder / name
        if not path.exists():
            path.write_bytes(record())
            print("recorded", name)
    for path in sorted(folder.iterdir()):
        if not is_part_of(*understood(path)):
            raise SystemExit(f"{path} is not understood")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RECORDED / str(FORMS))

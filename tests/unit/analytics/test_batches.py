"""The encoding of the event log: what an older postray wrote is read by this one."""

import msgspec
import pytest

from cluster.events import Bounced, Deferred, Event, decode_batch, encode_batch
from tests.unit.analytics.samples import bounced, deferred, every_kind


def test_a_batch_comes_back_as_it_went() -> None:
    assert decode_batch(encode_batch(every_kind())) == every_kind()


@pytest.mark.parametrize("event", [deferred(), bounced()], ids=["deferred", "bounce"])
def test_an_event_of_before_there_were_classes_has_none(event: Event) -> None:
    fields = msgspec.to_builtins(event)
    del fields["bounce_class"]
    (old,) = decode_batch(msgspec.msgpack.encode([fields]))
    assert isinstance(old, Bounced | Deferred)
    assert old.bounce_class == ""

"""What endpoints are owed, in bundles."""

from actors.webhooks.fanning_out import MOST_REMEMBERED, bundles_of
from cluster.webhooks.bundles import MOST_EVENTS, decode_event, encode_event, split_bundle
from tests.unit.webhooks.samples import disabled, owed


def test_endpoints_that_are_owed_the_same_have_their_bundles_in_common() -> None:
    one, other = encode_event(owed(disabled())), encode_event(owed(disabled(), sequence=2))
    bundles = list(bundles_of({"wh_3": [one, other], "wh_1": [one, other], "wh_2": [other]}))
    assert [(bundle.webhook_id, bundle.count) for bundle in bundles] == [("wh_1", 2), ("wh_2", 1), ("wh_3", 2)]
    assert bundles[0].events is bundles[2].events
    assert [decode_event(event).sequence for event in split_bundle(bundles[1].events)] == [2]


def test_of_an_endpoint_the_order_of_events_is_kept() -> None:
    events = [encode_event(owed(disabled(), sequence=number)) for number in range(MOST_EVENTS + 5)]
    bundles = list(bundles_of({"wh_1": events}))
    assert [bundle.count for bundle in bundles] == [MOST_EVENTS, 5]
    found = [decode_event(event).sequence for bundle in bundles for event in split_bundle(bundle.events)]
    assert found == list(range(MOST_EVENTS + 5))


def test_endpoints_that_are_all_owed_something_else() -> None:
    events = [encode_event(owed(disabled(), sequence=number)) for number in range(3 * MOST_REMEMBERED)]
    bundles = list(bundles_of({f"wh_{number:03}": [event] for number, event in enumerate(events)}))
    assert [split_bundle(bundle.events) for bundle in bundles] == [[event] for event in events]

"""The URLs of the tracking scenario are those that the product reads."""

from benchmarks.scenarios.tracking import BOTH, CLICKS, LINKS, OPENS, paths
from cluster.ids import new_id
from cluster.tracking.tokens import Kind, TokenKey, read

KEY = TokenKey(1, b"k" * 32)


def test_each_recipient_opens_and_follows_every_link() -> None:
    recipients = [(7, new_id("msg_"), f"{name}@example.com") for name in ("ada", "bob")]
    made = paths(KEY, recipients)
    assert [len(made[phase]) for phase in (OPENS, CLICKS, BOTH)] == [2, 2 * LINKS, 4 * LINKS]
    for path, status in made[BOTH]:
        kind, token = (Kind.OPEN, path[5:-4]) if status == 200 else (Kind.CLICK, path[5:])
        named = read(token, kind, {KEY.id: KEY.key})
        assert named is not None
        assert (named.recipient.tenant_number, named.recipient.message_id, named.recipient.email) in recipients

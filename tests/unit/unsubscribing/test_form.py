"""What a POST on an unsubscribe page asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.unsubscribing.form import Asked, asked_by
from cluster.journal.unsubscribing import Action

URLENCODED = "application/x-www-form-urlencoded"
ONE_CLICK = b"List-Unsubscribe=One-Click"
MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'  # RFC 8058 §8.2
)


@pytest.mark.parametrize(
    ("body", "content_type", "group", "asked"),
    [
        (ONE_CLICK, URLENCODED, None, Asked(Action.UNSUBSCRIBE_ALL, None, is_one_click=True)),
        (ONE_CLICK, URLENCODED, 4, Asked(Action.UNSUBSCRIBE_GROUP, 4, is_one_click=True)),
        (ONE_CLICK, "", 4, Asked(Action.UNSUBSCRIBE_GROUP, 4, is_one_click=True)),
        (MULTIPART, "multipart/form-data; boundary=b", 4, Asked(Action.UNSUBSCRIBE_GROUP, 4, is_one_click=True)),
        (MULTIPART, 'Multipart/Form-Data; boundary="b"', None, Asked(Action.UNSUBSCRIBE_ALL, None, is_one_click=True)),
        (b"action=unsubscribe_all", URLENCODED, 4, Asked(Action.UNSUBSCRIBE_ALL)),
        (b"action=resubscribe_all", URLENCODED, None, Asked(Action.RESUBSCRIBE_ALL)),
        (b"action=unsubscribe_group&group_id=9", URLENCODED, 4, Asked(Action.UNSUBSCRIBE_GROUP, 9)),
        (b"action=resubscribe_group&group_id=9", URLENCODED, 4, Asked(Action.RESUBSCRIBE_GROUP, 9)),
        (b"action=unsubscribe_group", URLENCODED, 4, None),
        (b"action=unsubscribe_group&group_id=-1", URLENCODED, 4, None),
        (b"action=unsubscribe_group&group_id=99999999999", URLENCODED, 4, None),
        (b"action=unsubscribe_group&group_id=\xd9\xa1", URLENCODED, 4, None),
        (b"action=erase", URLENCODED, 4, None),
        (b"", URLENCODED, 4, None),
        (b"List-Unsubscribe=Two-Clicks", URLENCODED, 4, None),
        (b"&".join([b"a=b"] * 100), URLENCODED, 4, None),
        (b"nothing", "multipart/form-data; boundary=b", 4, None),
        (MULTIPART, "multipart/form-data", 4, None),
    ],
)
def test_forms(body: bytes, content_type: str, group: int | None, asked: Asked | None) -> None:
    assert asked_by(body, content_type, group) == asked


@given(
    st.binary(max_size=300), st.sampled_from([URLENCODED, "multipart/form-data; boundary=b", "text/plain", "a\r\nb"])
)
def test_any_body_is_read_without_a_fault(body: bytes, content_type: str) -> None:
    asked_by(body, content_type, 4)

import pickle

import pytest

from analytics.client import ClickHouseRejected, ClickHouseUnavailable
from cluster.clickhouse_dsn import server_of


@pytest.mark.parametrize("error", [ClickHouseUnavailable("no route"), ClickHouseRejected("too large")])
def test_failures_survive_pickling(error: ClickHouseUnavailable | ClickHouseRejected) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert copy.reason == error.reason


def test_a_dsn_says_everything() -> None:
    assert server_of("clickhouses://us%40er:p%2Fw@ch.example:9440/mail") == {
        "host": "ch.example",
        "port": 9440,
        "username": "us@er",
        "password": "p/w",
        "database": "mail",
        "secure": True,
    }


@pytest.mark.parametrize(("scheme", "port", "secure"), [("clickhouse", 8123, False), ("clickhouses", 8443, True)])
def test_a_short_dsn_takes_the_usual_port_and_our_database(scheme: str, port: int, secure: bool) -> None:
    server = server_of(f"{scheme}://ch.example")
    assert (server["port"], server["secure"], server["database"]) == (port, secure, "postray")
    assert (server["username"], server["password"]) == ("default", "")


@pytest.mark.parametrize(
    "dsn",
    [
        "postgres://u:secret@h/d",
        "ch.example:8123",
        "clickhouse:///d",
        "clickhouse://h/d?x=1",
        "clickhouse://u:secret/@h/d",
    ],
)
def test_anything_else_is_refused_without_telling_the_password(dsn: str) -> None:
    with pytest.raises(ValueError, match=r"is not clickhouse") as caught:
        server_of(dsn)
    assert "secret" not in str(caught.value)

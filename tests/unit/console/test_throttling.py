"""Who tries wrong tokens waits longer each time, alone, and in a bounded table."""

from api.console.throttling import LoginThrottle


def test_the_schedule_of_wrong_tokens() -> None:
    now = 0.0
    throttle = LoginThrottle(lambda: now)
    waits = []
    for _ in range(7):
        waits.append(throttle.failed("192.0.2.1"))
        assert throttle.wait_s("192.0.2.1") == waits[-1]
        now += waits[-1]
        assert throttle.wait_s("192.0.2.1") == 0
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert throttle.wait_s("192.0.2.2") == 0


def test_a_right_token_is_forgiven_what_was_before() -> None:
    throttle = LoginThrottle(lambda: 0.0)
    throttle.failed("a")
    throttle.failed("a")
    throttle.succeeded("a")
    assert throttle.wait_s("a") == 0 and throttle.failed("a") == 1


def test_the_table_is_bounded() -> None:
    throttle = LoginThrottle(lambda: 0.0, kept=2)
    for address in ("a", "b", "c"):
        throttle.failed(address)
    assert [throttle.wait_s(address) for address in ("a", "b", "c")] == [0, 1, 1]

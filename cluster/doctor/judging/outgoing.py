"""What became of a connection to an SMTP server."""

from msgspec import Struct

from cluster.doctor.findings import Finding, ok, problem, warning


class Attempt(Struct, frozen=True):
    """``own``: the address that it was made from; "" where the system chose it. ``fault``: why there is no greeting; ""
    where there is one."""

    host: str
    port: int
    own: str
    greeting: str = ""
    fault: str = ""


def of_attempt(attempt: Attempt) -> Finding:
    way = f"{attempt.host}:{attempt.port}" + (f" from {attempt.own}" if attempt.own else "")
    if attempt.fault:
        return problem(
            f"no connection to {way}: {attempt.fault}; where the provider closes the port, ask for it to be "
            'opened, or send through a smarthost (delivery.mode = "relay")'
        )
    if not attempt.greeting.startswith("220"):
        return warning(f"{way} answers, and not as a mail host that takes mail: {attempt.greeting!r}")
    return ok(f"{way} answers: {attempt.greeting!r}")

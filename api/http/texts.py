"""Rules for all texts that clients send. Pure."""

from api.http.refusals import Fault
from cluster.policy.routes.host_names import has_control


def check_text(text: str, where: str, faults: list[Fault], *, longest: int) -> None:
    if len(text) > longest:
        faults.append(Fault(f"At most {longest} characters", where))
    if "\0" in text:
        faults.append(Fault("Text may not contain NUL", where))


def check_no_control(text: str, where: str, faults: list[Fault]) -> None:
    """Check a text of one line: it has no line breaks, tabs or other control characters."""
    if has_control(text):
        faults.append(Fault("Text may not contain line breaks or other control characters", where))


def check_name(name: str | None, where: str, faults: list[Fault], *, longest: int = 255) -> None:
    """Check a name that limits the scope of a command; None when it is not given. An empty name is a fault: it may come
    from an unset shell variable, and would widen the command to everything."""
    if name is None:
        return
    check_text(name, where, faults, longest=longest)
    if not name.strip():
        faults.append(Fault("An empty name names nothing", where))

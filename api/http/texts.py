"""Rules for texts of a client's, whatever they are for. Pure."""

from api.http.refusals import Fault


def check_text(text: str, where: str, faults: list[Fault], *, longest: int) -> None:
    if len(text) > longest:
        faults.append(Fault(f"At most {longest} characters", where))
    if "\0" in text:
        faults.append(Fault("Text may not contain NUL", where))


def check_name(name: str | None, where: str, faults: list[Fault], *, longest: int = 255) -> None:
    """A name that narrows what a command is about, or None where it is not given. An empty one, as an unset variable of
    a shell leaves it, would widen it to everything."""
    if name is None:
        return
    check_text(name, where, faults, longest=longest)
    if not name.strip():
        faults.append(Fault("An empty name names nothing", where))

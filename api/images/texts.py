"""The texts of an image: of a form and of a change alike. Pure."""

from collections.abc import Mapping

from api.http.choices import listed
from api.http.refusals import Fault
from api.http.texts import check_no_control

REMOVE_LOCATION = "remove_location"
LONGEST: Mapping[str, int] = {"alt_text": 1000, "folder": 255, REMOVE_LOCATION: 5}
"""Characters of each."""


CHOICES: Mapping[str, tuple[str, ...]] = {REMOVE_LOCATION: ("true", "false")}
"""The values of a text that has only these, in any case."""


def checked(text: str, field: str, most: int, faults: list[Fault]) -> str:
    """The text as it is stored."""
    if (allowed := CHOICES.get(field)) is not None:
        text = text.strip().lower()
        if text and text not in allowed:
            faults.append(Fault(f"Must be {listed(allowed)}", field))
        return text
    if len(text) > most:
        faults.append(Fault(f"At most {most:,} characters", field))
    else:
        check_no_control(text, field, faults)
    return text.strip()

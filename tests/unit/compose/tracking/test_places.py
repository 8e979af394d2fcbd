"""The places of a text that a transform makes."""

from actors.compose.tracking.places import FilledText, FilledTexts
from actors.compose.transform import Addressee
from cluster.ids import new_id
from tests.unit.compose.tracking.reading import ADA

GRACE = Addressee(new_id("msg_"), 0, "grace@example.com")


def test_the_values_of_a_copy_are_changed_once() -> None:
    changed: list[str] = []

    def change(value: str, number: int, addressee: Addressee) -> tuple[str, int]:
        changed.append(value)
        return f"{value}{number} {addressee.email}", 2

    texts = FilledTexts(["a", "b", "a"], 5, change, 0)
    places = [FilledText(texts, index) for index in range(3)]
    for addressee, values in ((ADA, {"a": "x", "b": "y"}), (GRACE, {"a": "z", "b": "y"}), (GRACE, {"a": "z", "b": ""})):
        changed.clear()
        filled = [place.fill(addressee, values) for place in places]
        in_order = [values["a"], values["b"], values["a"]]
        assert filled == [f"{value}{5 + 2 * index} {addressee.email}" for index, value in enumerate(in_order)]
        assert changed == in_order

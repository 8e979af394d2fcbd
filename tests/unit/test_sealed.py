"""The start looks whether the secret opens what is sealed."""

import pytest

from cluster.resealing import check_secret
from cluster.vault import Vault, WrongKey

OURS, OTHER = (
    Vault("b3VycyBvdXJzIG91cnMgb3VycyBvdXJzIG91cnMgb3U="),
    Vault("b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3Q="),
)


def test_a_secret_that_opens_nothing_is_another_one() -> None:
    with pytest.raises(WrongKey):
        check_secret(OURS, [OTHER.seal(b"x"), OTHER.seal(b"y")])


def test_one_damaged_value_keeps_nothing_from_starting() -> None:
    check_secret(OURS, [b"damaged", OURS.seal(b"x")])
    check_secret(OURS, [])

"""Keys made once per session."""

import pytest

from cluster import dkim_keys
from tests.unit.compose.reading import Key


@pytest.fixture(scope="session")
def rsa() -> Key:
    return Key(*dkim_keys.generate_rsa_key())


@pytest.fixture(scope="session")
def ed25519() -> Key:
    return Key(*dkim_keys.generate_ed25519_key(), selector="e1")

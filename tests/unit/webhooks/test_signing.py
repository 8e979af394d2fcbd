"""Signatures of posts, as their receivers verify them."""

import hmac
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader

from cluster.vault import Vault, WrongKey
from cluster.webhooks import signing
from cluster.webhooks.endpoints import Dialect
from cluster.webhooks.signing import new_key_pair, new_secret
from tests.unit.webhooks.samples import endpoint

AT = 1_776_938_402
BODY = '[{"event":"delivered","name":"Åsa"}]'.encode()


@pytest.fixture
def vault() -> Vault:
    return Vault(Fernet.generate_key().decode())


def signed(vault: Vault, **changes: Any) -> dict[str, str]:
    return signing.signed(endpoint(**changes), vault, BODY, at=AT, post_id="evt_1")


def hmac_of(secret: str, at: int = AT, body: bytes = BODY) -> str:
    return hmac.digest(secret.encode(), f"{at}.".encode() + body, "sha256").hex()


def test_ours_is_hmac_of_the_time_and_the_body(vault: Vault) -> None:
    secret = new_secret()
    fields = signed(vault, sealed_secret=vault.seal(secret.encode()))
    assert fields == {"X-ScaiSend-Signature": f"t={AT},v1={hmac_of(secret)}"}


def test_both_secrets_sign_while_the_former_one_is_valid(vault: Vault) -> None:
    new, old = new_secret(), new_secret()
    sealed = {"sealed_secret": vault.seal(new.encode()), "sealed_former": vault.seal(old.encode())}
    until = datetime.fromtimestamp(AT, UTC)
    both = signed(vault, former_until=until + timedelta(seconds=1), **sealed)
    assert both == {"X-ScaiSend-Signature": f"t={AT},v1={hmac_of(new)},v1={hmac_of(old)}"}
    assert signed(vault, former_until=until, **sealed) == {"X-ScaiSend-Signature": f"t={AT},v1={hmac_of(new)}"}


def test_an_endpoint_without_a_secret_is_not_signed_for(vault: Vault) -> None:
    assert signed(vault) == {}
    assert signed(vault, dialect=Dialect.SENDGRID) == {}


def test_standard_webhooks_fields_are_beside_ours(vault: Vault) -> None:
    # The example of the specification's own libraries.
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    receiver = endpoint(is_standard=True, sealed_secret=vault.seal(secret.encode()))
    fields = signing.signed(receiver, vault, body, at=1_614_265_330, post_id="msg_p5jXN8AQM9LWM0D4loKWxJek")
    assert fields == {
        "X-ScaiSend-Signature": f"t=1614265330,v1={hmac_of(secret, 1_614_265_330, body)}",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_standard_webhooks_have_a_signature_by_each_valid_secret(vault: Vault) -> None:
    fields = signed(
        vault,
        is_standard=True,
        sealed_secret=vault.seal(new_secret().encode()),
        sealed_former=vault.seal(new_secret().encode()),
        former_until=datetime.fromtimestamp(AT + 1, UTC),
    )
    first, second = fields["webhook-signature"].split(" ")
    assert first.startswith("v1,") and second.startswith("v1,") and first != second


def test_sendgrids_own_class_verifies_ours(vault: Vault) -> None:
    private, public = new_key_pair()
    fields = signed(vault, dialect=Dialect.SENDGRID, sealed_secret=vault.seal(private), public_key=public)
    assert set(fields) == {EventWebhookHeader.SIGNATURE, EventWebhookHeader.TIMESTAMP}
    signature, at = fields[EventWebhookHeader.SIGNATURE], fields[EventWebhookHeader.TIMESTAMP]
    assert at == str(AT)
    verifier = EventWebhook(public)
    assert verifier.verify_signature(BODY.decode(), signature, at)
    assert not verifier.verify_signature(BODY.decode() + " ", signature, at)
    assert not verifier.verify_signature(BODY.decode(), signature, str(AT + 1))
    assert not EventWebhook(new_key_pair()[1]).verify_signature(BODY.decode(), signature, at)


def test_secrets_are_long_and_each_is_another() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert first.startswith("whsec_")
    assert len(b64decode(first.removeprefix("whsec_"))) == 32


def test_a_secret_of_another_installation_is_not_used(vault: Vault) -> None:
    other = Vault(Fernet.generate_key().decode())
    with pytest.raises(WrongKey):
        signed(vault, sealed_secret=other.seal(b"whsec_"))

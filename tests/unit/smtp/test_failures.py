import pickle

import pytest

from actors.smtp.handshake import TlsError
from actors.smtp.protocol import ConnectError, ConnectionLost, SmtpFailure
from actors.smtp.reply import Reply
from cluster.policy.replies.stage import Stage
from cluster.policy.tls.failure import TlsFailure

REPLY = Reply(421, "4.3.2", ("421 4.3.2 shutting down",))


@pytest.mark.parametrize(
    "failure",
    [
        ConnectError(Stage.CONNECT, "timed out"),
        ConnectError(Stage.GREETING, "refused", REPLY),
        TlsError("certificate: has expired", TlsFailure.CERTIFICATE_EXPIRED),
        ConnectionLost(Stage.MAIL, "closed by the peer", False),
        ConnectionLost(Stage.END_OF_DATA, "timed out", True, REPLY),
    ],
)
def test_failures_survive_pickling(failure: SmtpFailure) -> None:
    copy = pickle.loads(pickle.dumps(failure))
    assert type(copy) is type(failure)
    assert vars(copy) == vars(failure)
    assert str(copy) == str(failure)


def test_a_failure_tells_its_stage_and_the_peers_words() -> None:
    assert str(ConnectError(Stage.GREETING, "refused", REPLY)) == "greeting: refused: 421 4.3.2 shutting down"

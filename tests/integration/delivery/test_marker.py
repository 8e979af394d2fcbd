"""The marker of a process that is killed."""

import signal
import subprocess
import sys
from pathlib import Path

from actors.delivery.marker import Life, Marker
from cluster.journal.strikes import Struck

WORKER = """
import sys
from pathlib import Path
from actors.delivery.marker import Marker
from cluster.ids import new_id
from tests.unit.delivery.test_marker import a_claim

marker = Marker(Path(sys.argv[1]))
marker.begin(3)
for number in range(1000):
    marker.done(marker.name(a_claim(new_id("msg_"))))
poison = a_claim(new_id("msg_"))
marker.name(poison)
print(poison.message_id, flush=True)
while True:
    pass
"""


def test_what_was_worked_on_at_sigkill_is_known_afterwards(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as life:
        assert life.stdout is not None
        message_id = life.stdout.readline().strip()
        life.kill()
    assert life.returncode == -signal.SIGKILL
    assert Marker(tmp_path).left() == Life(3, life.pid, (Struck(tenant_id="tnt_01", message_id=message_id),))

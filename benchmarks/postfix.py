"""A separate Postfix, with an OpenDKIM that signs for it if asked: from Debian's packages, over a scratch directory.

It owns both until they end: ``stop`` leaves nothing running in any case. It never touches the system's own Postfix: not
its configuration, its queue or its services. It needs root, since Postfix's processes change to other users.
"""

import grp
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

from benchmarks.postfix_files import PostfixPlan, main_cf, master_cf, opendkim_conf
from cluster.dkim_keys import generate_rsa_key
from cluster.installation import running

SIGNING = ("postfix", "opendkim")
"""Debian packages, each with a program of the same name, for a plan that signs."""
ALONE = ("postfix",)
WHERE = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))
"""An ordinary user's path lacks the last ones."""
START_S = 30.0
STOP_S = 5.0
POLL_S = 0.05
QUEUES = ("maildrop", "incoming", "active", "deferred", "hold")

Find = Callable[[str], str | None]


class PostfixDidNotStart(Exception):
    """Postfix or OpenDKIM ended or was not ready in time; the message contains their output."""

    def __init__(self, output: str) -> None:
        super().__init__(output)


def program(name: str) -> str | None:
    return shutil.which(name, path=WHERE)


def lacking(packages: Sequence[str] = SIGNING, find: Find = program, user_id: int | None = None) -> str | None:
    """What prevents Postfix, and OpenDKIM with it, from running here, with the remedy; None when nothing does."""
    absent = [package for package in packages if find(package) is None]
    if absent:
        are = "is" if len(absent) == 1 else "are"
        how = f"apt-get install --no-install-recommends {' '.join(absent)}"
        return f"{' and '.join(absent)} {are} not installed here; on Debian: {how}"
    if (os.geteuid() if user_id is None else user_id) != 0:
        return "Postfix can be started by root only; run this as root"
    return None


class Postfix:
    """One Postfix, with its OpenDKIM if the plan signs. ``plan.directory`` is created here; the caller removes it."""

    def __init__(self, plan: PostfixPlan) -> None:
        self.plan = plan
        self._filter: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.plan.port}"

    def start(self) -> None:
        """Return when it accepts mail. Raises PostfixDidNotStart, and then leaves nothing running."""
        try:
            self._lay_out()
            if self.plan.signs:
                self._start_filter()
            self._run("start")
            self._wait_until(self._listens, "Postfix does not listen")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End both, and any of their processes that remain."""
        with ExitStack() as steps:  # in reverse order; each runs even if another fails
            steps.callback(self._stop_filter)
            marks = self._marks()
            if marks:
                steps.callback(running.end, marks)
                with suppress(PostfixDidNotStart):
                    self._run("stop")

    def wait_until_empty(self, seconds: float) -> bool:
        """Wait at most ``seconds``; returns whether all queues are empty."""
        deadline = time.monotonic() + seconds
        while not (empty := self._is_empty()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return empty

    def held(self) -> int:
        """Messages in the hold queue."""
        return sum(len(files) for _, _, files in os.walk(self.plan.queue_dir / "hold"))

    def parts(self) -> dict[str, list[int]]:
        """The processes of both by the name of their program."""
        parts: dict[str, list[int]] = {}
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                parts.setdefault(f"postfix {process.name()}", []).append(process.pid)
        if self._filter is not None:
            parts["opendkim"] = [self._filter.pid]
        return parts

    def said(self) -> str:
        """The end of their output."""
        found = [path for path in (self.plan.log, self._output) if path.exists()]
        return "\n".join(path.read_text("utf-8", "replace")[-2000:] for path in found)

    # Implementation

    @property
    def _output(self) -> Path:
        return self.plan.directory / "log" / "output"

    def _lay_out(self) -> None:
        plan = self.plan
        postfix = pwd.getpwnam("postfix")
        for path, user, group, mode in (
            (plan.directory, 0, 0, 0o755),
            (plan.config_dir, 0, 0, 0o755),
            (plan.queue_dir, 0, 0, 0o755),
            (plan.data_dir, postfix.pw_uid, postfix.pw_gid, 0o700),
            (plan.log.parent, postfix.pw_uid, postfix.pw_gid, 0o755),
        ):
            _make(path, user, group, mode)
        (plan.config_dir / "main.cf").write_text(main_cf(plan))
        (plan.config_dir / "master.cf").write_text(master_cf(plan))
        if plan.signs:
            self._lay_out_filter(postfix)

    def _lay_out_filter(self, postfix: pwd.struct_passwd) -> None:
        plan, signer = self.plan, pwd.getpwnam("opendkim")
        _make(plan.filter_dir, signer.pw_uid, postfix.pw_gid, 0o750)
        plan.filter_conf.write_text(opendkim_conf(plan, f"opendkim:{grp.getgrgid(postfix.pw_gid).gr_name}"))
        plan.key.touch(0o600)
        plan.key.write_bytes(generate_rsa_key()[0])
        os.chown(plan.key, signer.pw_uid, postfix.pw_gid)

    def _start_filter(self) -> None:
        with self._output.open("ab") as output:
            # A separate session: Ctrl-C at the terminal is for the scenario, which then stops it properly.
            self._filter = subprocess.Popen(
                [program("opendkim") or "opendkim", "-f", "-x", str(self.plan.filter_conf)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._wait_until(self.plan.socket.exists, "OpenDKIM does not listen")

    def _stop_filter(self) -> None:
        process, self._filter = self._filter, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _run(self, what: str) -> None:
        """Run ``postfix start`` or ``stop``. Raises PostfixDidNotStart when it fails."""
        command = [program("postfix") or "postfix", "-c", str(self.plan.config_dir), what]
        with self._output.open("ab") as output:
            # A separate session, as for OpenDKIM.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        try:
            code = process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code:
            raise PostfixDidNotStart(f"postfix {what} failed: {self.said()}")

    def _wait_until(self, ready: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + START_S
        while not ready():
            if time.monotonic() > deadline or (self._filter is not None and self._filter.poll() is not None):
                raise PostfixDidNotStart(f"{otherwise}: {self.said()}")
            time.sleep(POLL_S)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.plan.port)) == 0

    def _is_empty(self) -> bool:
        return not any(files for name in QUEUES for _, _, files in os.walk(self.plan.queue_dir / name))

    def _marks(self) -> list[running.ProcessMark]:
        marks = []
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                marks.append(running.mark(process))
        return marks

    def _processes(self) -> Sequence[psutil.Process]:
        """Postfix's master and its children; none when it is not running."""
        try:
            master = psutil.Process(int((self.plan.queue_dir / "pid" / "master.pid").read_text("ascii")))
            # Check the folder: the pid may have been reused, even by the system's own Postfix.
            ours = Path(master.cwd()) == self.plan.queue_dir.resolve()
            return [master, *master.children(recursive=True)] if ours else []
        except (OSError, ValueError, psutil.Error):
            return []


def _make(path: Path, user: int, group: int, mode: int) -> None:
    path.mkdir()
    os.chown(path, user, group)
    path.chmod(mode)

"""Starts and stops postray: one process owns all parts and starts them in order."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cluster import logs
from cluster.context import Context, Facts, Home, keeps_from_work
from cluster.demo import ensure_demo
from cluster.installation import rotation, run_folder, running
from cluster.installation.backup_folder import RESTORING
from cluster.installation.embedded import EmbeddedPostgres
from cluster.installation.local_secrets import demo_key, ensure_sql_password, ray_token, sql_password
from cluster.installation.owners import SERVER_FOLDER
from cluster.installation.ports import HeldPort, PortTaken
from cluster.installation.private_files import Unsafe
from cluster.installation.stopping import StopProgress
from cluster.journal.journal import Journal, migrate, wait_until_reachable
from cluster.launch import places, ray_node, together
from cluster.launch.asking import asked
from cluster.launch.looking import Looking, RayEnded
from cluster.peers import PeerGone
from cluster.policies import BadPolicies, PolicyFiles, put_in_force, read_files
from cluster.policy.placement import Node, Place, plan
from cluster.resealing import check_opens, seal_anew
from cluster.settings import DEFAULT_ADMIN_BIND, Settings
from cluster.settings_stores import DEFAULT_BIND
from cluster.starting import REACHABLE_S, DidNotStart, check_alone, check_living, check_same, opened
from cluster.topology import RECORDER, SUPERVISOR, cpus_of_a_node, has_sink, kinds
from cluster.vault import FILE as SECRET_FILE
from cluster.vault import RESTORE, FormerKey, KeyRing, WrongKey, find_ring, secret_key

log = logging.getLogger(__name__)

Progress = Callable[[str], None]
"""Called with the name of each part as soon as it runs."""

HELD = (
    ("http", "bind"),
    ("tracking", "bind"),
    ("submission", "bind"),
    ("submission", "tls_bind"),
    ("bounce", "bind"),
    ("metrics", "bind"),
)
"""The settings with addresses that processes listen on, by section and key."""
HELD_OF_SINK = (("capture", "smtp_bind"), ("capture", "http_bind"))
DEMO_SUBMISSION = "127.0.0.1:2587"
"""Where the demo takes mail by SMTP; a free port if another has it."""
READY_S = 30.0
RECORDER_READY_S = 5.0
"""After this long, postray starts without the recorder."""


class Died(Exception):
    """postray cannot go on; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class Postray:
    """One postray, from ``start`` to ``stop``. The caller holds the data directory's lock and has prepared the
    directory; ``tightened`` lists the permissions that the preparation corrected."""

    def __init__(self, settings: Settings, tightened: Sequence[str] = ()) -> None:
        self._settings = settings
        self._tightened = tightened
        self._ports: list[HeldPort] = []
        self._data_dir = Path(settings.data_dir).resolve()
        self._postgres: EmbeddedPostgres | None = None
        self._is_in_place = not settings.ray.address
        self._looking = Looking(self._is_in_place)
        self._began = False
        """Whether there was no actor before this start."""
        self._is_started = False
        self._former: tuple[FormerKey, ...] = ()
        self.demo_key = ""
        self.sql_password = ""
        self.has_tenants = False
        self.problems: dict[str, str] = {}
        """Problems of parts that did not prevent the start."""
        self.cannot_move: list[str] = []
        """The actors of a cluster that can run on one machine only."""

    def start(self, progress: Progress) -> running.Run:
        """Start every part. Raises DidNotStart, Unavailable or Unsafe, after which ``stop`` must still be called."""
        logs.configure("up", self._settings.log, self._data_dir)
        for line in self._tightened:
            log.warning("%s", line)
        if (self._data_dir / RESTORING).exists():
            raise DidNotStart(f"a restore into {self._data_dir} did not end: empty it, and restore again")
        self._look_at_secrets()
        files = self._policy_files()
        self._end_leftovers()
        self._hold_ports()
        if self._settings.analytics.bind:
            self.sql_password = self._settings.analytics.password or ensure_sql_password(self._data_dir)
        run_dir = run_folder.make(self._data_dir)
        dsn = self._start_journal(run_dir)
        progress("journal")
        try:
            ray_node.start_ray(self._settings.ray, self._data_dir, run_dir, cpus_of_a_node(self._settings))
        except ray_node.NoCluster as error:
            raise DidNotStart(str(error)) from error
        progress("ray")
        asyncio.run(self._place(dsn, files, progress))
        self._wait_until_ready()
        self._is_started = True
        run_folder.close(self._data_dir)
        return self._tell()

    async def _place(self, dsn: str, files: PolicyFiles, progress: Progress) -> None:
        """Bring the journal up to date and start the actors. Where a supervisor lives, it starts what is missing, and
        what its actors know stays in force. Another ``up``, on another node, does the same before or after, not
        meanwhile. Raises DidNotStart, Unavailable.
        """
        async with opened(dsn, connections=2) as journal, journal.membership.starting():
            with together.interruptible():
                facts, here = self._look()
            names = [one.name for one in facts.living]
            if not self._is_in_place:
                self.cannot_move = [kind.name for kind in kinds(self._settings) if kind.stays]
            missing: Sequence[Place] = ()
            self._began = not names
            if names:
                await check_same(journal, names)
            await migrate(dsn)
            of_machine = [node.id for node in facts.nodes if node.machine == here.machine]
            if SUPERVISOR in names:
                ring = await self._join(journal)
                try:
                    with together.interruptible():
                        together.call(SUPERVISOR, "bring_back", of_machine)
                except PeerGone as gone:
                    raise DidNotStart(str(gone)) from gone
            else:
                if not names:
                    await check_alone(journal, lambda line: log.warning("%s", line))
                await journal.left_nodes.bring_back(of_machine)
                ring = await self._secrets(journal)
                if names:
                    await check_living(journal, ring)
                await self._prepare(journal, ring, files)
                self._former = self._settled(ring.former)
                left = await journal.left_nodes.all()
                marked = [msgspec.structs.replace(node, is_left=node.id in left) for node in facts.nodes]
                ordered = sorted(marked, key=lambda node: (node.id != here.id, node.id))
                made = plan(ordered, kinds(self._settings), facts.living, home=here.machine)
                for name, reason in made.missing.items():
                    log.warning("not placed actor=%s reason=%r", name, reason)
                missing = made.start
                # One that is to be moved lives and has no place yet; the supervisor moves it.
                names = [place.name for place in made.places if place in missing or place.name in names]
            context = Context(
                name="",
                node_id="",
                settings=self._settings,
                data_dir=str(self._data_dir),
                postgres_dsn=dsn,
                secret_key=ring.current,
                former_secrets=self._former,
                home=Home(node_id=here.id, machine=here.machine),
                installation=await journal.singletons.installation_id(),
            )
            try:
                with together.interruptible():
                    for name in together.start(missing, names, context):
                        progress(name)
            except RuntimeError as error:
                raise DidNotStart(str(error)) from error

    def _look(self) -> tuple[Facts, Node]:
        """Which nodes and actors there are, and the node of this machine. Raises DidNotStart."""
        try:
            facts = asked("ray", places.look, self._settings.cluster.roles)
        except PeerGone as gone:
            raise DidNotStart(str(gone)) from gone
        here = places.here()
        for node in facts.nodes:
            if node.id == here:
                return facts, node
        raise DidNotStart(f"ray: this machine's node {here} is not alive any more")

    async def _join(self, journal: Journal) -> KeyRing:
        """What is needed beside actors that live; what they know stays in force. Raises DidNotStart."""
        ring = find_ring(self._settings.secret, self._settings.previous_secret, self._data_dir)
        if ring is None:
            raise DidNotStart(f"{self._data_dir / SECRET_FILE} is missing: {RESTORE}")
        await check_living(journal, ring)
        self._former = tuple(one for one in ring.former if one.until is not None)
        self.demo_key = (demo_key(self._data_dir) or "") if self._settings.demo else ""
        self.has_tenants = bool(await journal.known_names.tenants_like("", 1))
        return ring

    def look_after(self) -> bool:
        """Restart an embedded Postgres that has ended, and restrict the sockets that Ray has opened to other users.
        Returns False when the cluster's postray was ended by another command.

        Raises Died when Ray has ended: in place all actors end with it.
        """
        run_folder.close(self._data_dir)
        now = datetime.now(UTC)
        if any(one.until is not None and one.until <= now for one in self._former):
            self._former = self._settled(self._former)
        if self._postgres is not None and self._postgres.has_ended:
            log.error("the embedded Postgres ended; starting it again")
            self._postgres.restart()
        try:
            return self._looking.look()
        except (RayEnded, PeerGone) as error:
            raise Died(str(error)) from error

    @property
    def goes_on(self) -> bool:
        """Whether the actors live on when this command ends: those of a cluster, unless it could not start them."""
        return not self._is_in_place and (self._is_started or not self._began)

    def stop(self, progress: Progress, is_hurried: Callable[[], bool]) -> None:
        """Stop everything that was started and does not go on; returns when all its processes have ended. ``progress``
        receives a line about what the stop waits for; ``is_hurried`` returns True to end that wait."""

        def say(line: str) -> None:
            progress(line)
            if (run := running.read_run(self._data_dir)) is not None:
                running.write_run(self._data_dir, msgspec.structs.replace(run, waits_for=line))

        children = running.descendants()
        if not self.goes_on and ray_node.is_started():  # otherwise the actors have ended with it
            try:
                together.Stop().run(StopProgress(self._settings.delivery.stop_wait_s, say, is_hurried))
            except PeerGone as gone:  # Ray has ended, and they end with it
                log.warning("not all actors were stopped in order reason=%r", str(gone))
        ray_node.stop_ray()
        if self._postgres is not None:
            self._postgres.stop()
        while self._ports:
            self._ports.pop().release()
        for pid in running.end(children):
            log.warning("ended a process that did not stop by itself pid=%d", pid)
        if not self.goes_on:  # the commands of operators look there for the address
            running.forget_run(self._data_dir)
        run_folder.remove(self._data_dir)

    def _end_leftovers(self) -> None:
        """End the processes of a postray that was killed, except its Postgres, which is taken over."""
        ended = running.end(running.leftovers(self._data_dir))
        if ended:
            log.warning("the last run was killed; ended its processes pids=%s", ended)
        running.forget_run(self._data_dir)

    def _hold_ports(self) -> None:
        """Hold the ports until ``stop``, so that a restarted actor gets its own port again: other processes open ports,
        too. Port 0 becomes a free port."""
        for section, key in (*HELD, *(HELD_OF_SINK if has_sink(self._settings.delivery) else ())):
            bind = getattr(getattr(self._settings, section), key)
            if bind:
                self._hold(section, key, bind)
        for section, usual in (("analytics", DEFAULT_BIND), ("admin", DEFAULT_ADMIN_BIND)):
            if bind := getattr(self._settings, section).bind:
                hold = self._hold_for_demo if bind == usual else self._hold
                hold(section, "bind", bind)
        if self._settings.demo and not self._settings.submission.bind:
            self._hold_for_demo("submission", "bind", DEMO_SUBMISSION)

    def _hold_for_demo(self, section: str, key: str, bind: str) -> None:
        """Hold one port; where another program has it, the demo takes a free one. Raises DidNotStart."""
        try:
            self._hold(section, key, bind)
        except DidNotStart:
            if not self._settings.demo:
                raise
            self._hold(section, key, "127.0.0.1:0")

    def _hold(self, section: str, key: str, bind: str) -> None:
        """Hold one port, and have the settings say which. Raises DidNotStart."""
        try:
            port = HeldPort(bind)
        except PortTaken as error:
            if not self._is_in_place:
                # Perhaps by an actor of this cluster. One that cannot listen says so.
                log.warning("not held %s.%s: %s", section, key, error)
                return
            raise DidNotStart(f"{section}.{key}: cannot listen on {error}") from error
        self._ports.append(port)
        replace = msgspec.structs.replace
        changed = replace(getattr(self._settings, section), **{key: port.bind})
        self._settings = replace(self._settings, **{section: changed})

    def _start_journal(self, run_dir: Path) -> str:
        dsn = self._settings.postgres.dsn
        if not dsn:
            self._postgres = EmbeddedPostgres(self._data_dir / SERVER_FOLDER, run_dir)
            dsn = self._postgres.start()
        asyncio.run(wait_until_reachable(dsn, REACHABLE_S))
        return dsn

    def _policy_files(self) -> PolicyFiles:
        try:
            return read_files(self._settings.delivery)
        except BadPolicies as error:
            raise DidNotStart(str(error)) from error

    def _look_at_secrets(self) -> None:
        """Check all secrets first, so that a damaged one prevents the start. Raises Unsafe."""
        find_ring(self._settings.secret, self._settings.previous_secret, self._data_dir)
        ray_token(self._data_dir)
        demo_key(self._data_dir)
        sql_password(self._data_dir)

    async def _secrets(self, journal: Journal) -> KeyRing:
        """The configured or stored secrets. A new one is made only where the journal holds no encrypted data. Raises
        DidNotStart when the secret is missing and the journal holds encrypted data."""
        configured, previous = self._settings.secret, self._settings.previous_secret
        ring = find_ring(configured, previous, self._data_dir)
        if ring is not None:
            return ring
        if await journal.sealed.used(1):
            raise DidNotStart(f"{self._data_dir / SECRET_FILE} is missing: {RESTORE}")
        return KeyRing(secret_key(configured, self._data_dir))

    async def _prepare(self, journal: Journal, ring: KeyRing, files: PolicyFiles) -> None:
        """Bring the journal up to date before the actors start: what is sealed with a former secret, the demo tenant
        and the policies. So no actor sends under an older policy, and each can open everything. Raises DidNotStart when
        the secret does not open what is sealed, since no mail could be signed."""
        vault = ring.vault()
        try:
            if ring.former:
                resealed = await seal_anew(journal, vault)
                log.info("sealed anew values=%d", resealed.changed)
                for what in resealed.unopened:
                    log.warning("no known secret opens it value=%s", what)
            await check_opens(journal, vault)
            if self._settings.demo:
                self.demo_key = await ensure_demo(journal, vault, self._data_dir)
            self.has_tenants = bool(await journal.known_names.tenants_like("", 1))
            version = await put_in_force(journal, vault, self._settings.delivery, files.shaping, files.routing)
        except WrongKey as error:
            raise DidNotStart(str(error)) from error
        if version is not None:
            log.info("policies put in force version=%d", version)

    def _settled(self, former: tuple[FormerKey, ...]) -> tuple[FormerKey, ...]:
        """The former secrets with their times, without those whose time has come; the file says the same. The one that
        the settings name has no time. Nothing of the journal may be sealed with them any more."""
        now = datetime.now(UTC)
        in_file = frozenset(one.key for one in former if one.key != self._settings.previous_secret)
        if in_file:
            try:
                rotation.settle(self._data_dir, in_file, now)
            except (OSError, Unsafe) as error:  # the next start tries again
                log.warning("former secrets stay in the file reason=%s", error)
        return rotation.settled_keys(former, in_file, now)

    def _wait_until_ready(self) -> None:
        began = time.monotonic()
        while True:
            try:
                readiness: dict[str, str | None] = together.call(SUPERVISOR, "readiness")
            except PeerGone as gone:  # perhaps its node died, and Ray starts it elsewhere
                readiness = {SUPERVISOR: f"gone: {gone.reason}"}
            self.problems = {part: problem for part, problem in readiness.items() if problem is not None}
            missing = [part for part, problem in self.problems.items() if keeps_from_work(problem)]
            waited_s = time.monotonic() - began
            # Mail does not wait for ClickHouse: events stay in the journal's log until it is available.
            if not missing or (missing == [RECORDER] and waited_s > RECORDER_READY_S):
                return
            if waited_s > READY_S:
                raise DidNotStart("; ".join(f"{part}: {problem}" for part, problem in self.problems.items()))
            time.sleep(0.1)

    def _tell(self) -> running.Run:
        capture = has_sink(self._settings.delivery)
        run = running.Run(
            pid=running.own_mark().pid,
            url=f"http://{self._settings.http.bind}",
            page=f"http://{self._settings.capture.http_bind}" if capture else "",
            tracking=f"http://{tracking}" if (tracking := self._settings.tracking.bind) else "",
            submission=self._settings.submission.bind or self._settings.submission.tls_bind,
            mail_in=self._settings.bounce.bind,
            sql=f"http://{sql}" if (sql := self._settings.analytics.bind) else "",
            metrics=f"http://{self._settings.metrics.bind or self._settings.http.bind}/metrics",
            console=f"http://{console}" if (console := self._settings.admin.bind) else "",
            processes=[running.own_mark(), *running.descendants()],
        )
        running.write_run(self._data_dir, run)
        return run

"""The borders between packages, and the purity of decisions, checked by the imports of every module.

Imports by name count as well: ``import_module("a.b")``, or a text that names one of our modules, as in tables.
"""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
PACKAGES = ("cluster", "analytics", "actors", "api", "benchmarks")

# The packages of ours that each may import besides itself. Calls go in this direction only.
MAY_IMPORT = {
    "cluster": set(),
    "analytics": {"cluster"},
    "actors": {"cluster", "analytics"},
    "api": {"cluster", "analytics"},
    "benchmarks": {"cluster", "analytics", "actors", "api"},
}

# Tables that name modules above them, each with its reason.
MAY_NAME = {
    # It names the function that builds each actor in the actor's process. So one launcher starts all actors, and no
    # process loads the libraries of another.
    "cluster/topology.py": {"actors", "api"},
}
# Modules that import a name that is not written in the call, each with its reason.
MAY_IMPORT_BY_NAME = {
    "cluster/cli.py",  # a command's module from its table, when the command is asked for
    "cluster/launch/host_process.py",  # in an actor's process, the function that topology.py names
}

IMPORTERS = ("import_module", "__import__")
A_MODULE = re.compile(rf"(?:{'|'.join(PACKAGES)})(?:\.\w+)+(?::\w+)?")

PURE = (
    "cluster/policy",
    "actors/compose",
    "analytics/native.py",
    "analytics/rows.py",
    "analytics/samples.py",
    "analytics/troubles/effects.py",
    "analytics/troubles/of_events.py",
    "analytics/troubles/of_samples.py",
    "analytics/troubles/recorded.py",
    "analytics/troubles/sections.py",
    "analytics/troubles/stretches.py",
    "actors/sampling/counting.py",
    "actors/sampling/whole.py",
    "api/admin/explanation.py",
    "api/admin/past.py",
    "api/admin/site_views.py",
    "api/console/history.py",
    "api/console/now.py",
    "api/console/result.py",
    "api/console/tables.py",
    "api/console/words.py",
    "cluster/sizes.py",
    "cluster/doctor/judging",
    "cluster/mail_in",
    "cluster/message/composable.py",
    "cluster/message/custom_fields.py",
    "cluster/message/header_fields.py",
    "cluster/message/mime_fields.py",
    "cluster/message/submitted",
    "cluster/message/texts.py",
    "cluster/http/connections.py",
    "cluster/tenancy/limits.py",
    "cluster/tenancy/shares.py",
    "cluster/tenancy/window.py",
    "cluster/tenancy/quota.py",
    "cluster/tenancy/peers.py",
    "cluster/templates/compiled.py",
    "cluster/templates/handlebars",
    "cluster/templates/lines.py",
    "cluster/templates/markup.py",
    "cluster/templates/plain_text.py",
    "cluster/templates/preheader.py",
    "cluster/templates/tags.py",
    "cluster/tracking/clients.py",
    "cluster/tracking/machines.py",
    "cluster/times.py",
    "cluster/typed_names.py",
    "cluster/webhooks/bodies",
    "cluster/webhooks/bundles.py",
    "cluster/webhooks/endpoints.py",
)
IMPURE = {
    "aiodns",
    "aiosmtplib",
    "asyncio",
    "chdb",
    "clickhouse_connect",
    "logging",
    "os",
    "psycopg",
    "random",
    "ray",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
    "uuid",
}


def modules(*folders: str) -> list[Path]:
    paths = [ROOT / folder for folder in folders]
    return [module for path in paths for module in ([path] if path.suffix == ".py" else sorted(path.rglob("*.py")))]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """The modules that a module imports by statements, and by calls with a literal name."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module or "")
        elif isinstance(node, ast.Call) and called(node) in IMPORTERS and (name := written(node)) is not None:
            names.add(name)
    return names


def called(node: ast.Call) -> str:
    """The name of the called function, without the object before the dot."""
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def written(node: ast.Call) -> str | None:
    """The first argument, where it is a literal text."""
    match node.args:
        case [ast.Constant(value=str(name)), *_]:
            return name
    return None


def named(path: Path) -> Iterator[str]:
    """Our modules that a text in a module names, as ``a.b`` or ``a.b:function``."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and A_MODULE.fullmatch(node.value):
            module = ROOT.joinpath(*node.value.partition(":")[0].split("."))
            if module.is_dir() or module.with_suffix(".py").is_file():
                yield node.value


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def found(wrong: Callable[[Path], set[T]], *folders: str) -> dict[str, set[T]]:
    """What is wrong with the modules in these folders, by module; one test looks at all, as they are hundreds."""
    assert all(modules(folder) for folder in folders)
    return {relative(path): seen for path in modules(*folders) if (seen := wrong(path))}


def test_imports_flow_one_way() -> None:
    def upward(path: Path) -> set[str]:
        package = path.relative_to(ROOT).parts[0]
        return {name.split(".")[0] for name in imported(path)} & set(PACKAGES) - MAY_IMPORT[package] - {package}

    assert found(upward, *PACKAGES) == {}


def test_names_in_tables_flow_the_same_way() -> None:
    def upward(path: Path) -> set[str]:
        package = path.relative_to(ROOT).parts[0]
        allowed = MAY_IMPORT[package] | {package} | MAY_NAME.get(relative(path), set())
        return {name.split(".")[0] for name in named(path)} - allowed

    assert found(upward, *PACKAGES) == {}


def test_no_import_hides_its_name() -> None:
    def hidden(path: Path) -> set[str]:
        calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call) and called(node) in IMPORTERS]
        return {f"line {call.lineno}" for call in calls if written(call) is None}

    assert found(hidden, *PACKAGES).keys() == MAY_IMPORT_BY_NAME


def test_no_way_of_naming_a_module_is_overlooked(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    lines = (
        "import actors.a",
        "from actors.b import name",
        "importlib.import_module('actors.c')",
        "import_module('actors.d')",
        "__import__('actors.e')",
        "import_module(name)",
        "TABLE = (Spec(build='actors.build:delivery'), 'actors.recorder', 'actors.missing', 'see actors.recorder')",
    )
    module.write_text("\n".join(lines), encoding="utf-8")
    assert imported(module) == {"actors.a", "actors.b", "actors.c", "actors.d", "actors.e"}
    assert sorted(named(module)) == ["actors.build:delivery", "actors.recorder"]


def test_the_tables_name_nothing_that_is_gone() -> None:
    for table, packages in MAY_NAME.items():
        assert packages <= {name.split(".")[0] for name in named(ROOT / table)}


def test_a_library_of_the_actors_imports_no_other_room_of_theirs() -> None:
    def others(path: Path) -> set[str]:
        own = ".".join(path.relative_to(ROOT).parts[:2])
        theirs = {name for name in imported(path) if name.split(".")[0] == "actors"}
        return {".".join(name.split(".")[:2]) for name in theirs} - {own}

    assert found(others, "actors/smtp", "actors/compose") == {}


def test_no_part_of_the_delivery_actor_knows_one_that_knows_it() -> None:
    """Calls go down through the parts and results come back as values, so their imports have no cycle."""
    package = {f"actors.delivery.{path.stem}": path for path in modules("actors/delivery")}
    below = {name: imported(path) & package.keys() for name, path in package.items()}
    assert len(list(TopologicalSorter(below).static_order())) == len(package)
    assert {name for name, others in below.items() if "actors.delivery.parts" in others} == {
        "actors.delivery.deliverer"
    }


def test_policy_imports_nothing_of_ours_but_policy() -> None:
    def others(path: Path) -> set[str]:
        ours = {name for name in imported(path) if name.split(".")[0] in PACKAGES}
        return {name for name in ours if not name.startswith("cluster.policy")}

    assert found(others, "cluster/policy") == {}


def test_what_decides_does_no_io_and_reads_no_clock() -> None:
    assert found(lambda path: {name.split(".")[0] for name in imported(path)} & IMPURE, *PURE) == {}


def test_only_launch_knows_ray() -> None:
    knowing = found(lambda path: {name.split(".")[0] for name in imported(path)} & {"ray"}, *PACKAGES)
    assert knowing.pop("benchmarks/ray_nodes.py")  # the Ray that a cluster of your own is, for tests and scenarios
    assert knowing
    assert all(module.startswith("cluster/launch/") for module in knowing)


def test_only_own_python_says_how_our_code_is_run() -> None:
    def attributes(path: Path) -> set[str]:
        return {node.attr for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)} & {"executable"}

    saying = found(attributes, "cluster", "analytics", "actors", "api")
    assert saying.keys() == {"cluster/installation/own_python.py"}


def test_modules_stay_small() -> None:
    def too_many(path: Path) -> set[int]:
        return {lines} if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400 else set()

    assert found(too_many, *PACKAGES) == {}

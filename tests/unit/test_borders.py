"""The borders between packages, and the purity of what decides: read off the imports of every module."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("cluster", "analytics", "actors", "api", "benchmarks")

# Which of our packages each may import, itself aside. Calls flow this way and never back.
MAY_IMPORT = {
    "cluster": set(),
    "analytics": {"cluster"},
    "actors": {"cluster", "analytics"},
    "api": {"cluster", "analytics", "actors"},
    "benchmarks": {"cluster", "analytics", "actors", "api"},
}

PURE = (
    "cluster/policy",
    "actors/compose",
    "analytics/rows.py",
    "api/admin/explanation.py",
    "api/admin/site_views.py",
    "cluster/message/composable.py",
    "cluster/message/custom_fields.py",
    "cluster/message/header_fields.py",
    "cluster/message/mime_fields.py",
    "cluster/http/connections.py",
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


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module or "")
    return names


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=relative)
def test_imports_flow_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    ours = {name.split(".")[0] for name in imported(path)} & set(PACKAGES)
    assert ours <= MAY_IMPORT[package] | {package}


@pytest.mark.parametrize("path", modules("cluster/policy"), ids=relative)
def test_policy_imports_nothing_of_ours_but_policy(path: Path) -> None:
    ours = {name for name in imported(path) if name.split(".")[0] in PACKAGES}
    assert all(name.startswith("cluster.policy") for name in ours)


@pytest.mark.parametrize("path", modules(*PURE), ids=relative)
def test_what_decides_does_no_io_and_reads_no_clock(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported(path)} & IMPURE


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=relative)
def test_only_launch_knows_ray(path: Path) -> None:
    if relative(path) != "cluster/launch.py":
        assert "ray" not in {name.split(".")[0] for name in imported(path)}


@pytest.mark.parametrize("path", modules("cluster", "analytics", "actors", "api"), ids=relative)
def test_only_own_python_says_how_our_code_is_run(path: Path) -> None:
    if relative(path) != "cluster/installation/own_python.py":
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        assert "executable" not in {node.attr for node in nodes if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=relative)
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400

"""Two releases side by side: a scratch copy of the code, in which every form has one more field, and this one."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.policy.forms import FORMS
from tests.forms import COMPUTED, LATER, RECORDED, STORED, decode, files

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch copy of the code in which every form has one more field."""
    scratch = tmp_path_factory.mktemp("later")
    for package in ("actors", "analytics", "api", "cluster"):
        shutil.copytree(ROOT / package, scratch / package, ignore=shutil.ignore_patterns("__pycache__"))
    (scratch / "tests").mkdir()
    for name in ("__init__.py", "forms.py"):
        shutil.copy(ROOT / "tests" / name, scratch / "tests" / name)
    code = scratch / "cluster/policy/forms.py"
    text = code.read_text(encoding="utf-8")
    changed = text.replace(
        "class Form(Struct, frozen=True):\n",
        f"class Form(Struct, frozen=True, kw_only=True):\n    {LATER}: str = 'new'\n\n",
        1,
    )
    assert changed != text
    code.write_text(changed, encoding="utf-8")
    return scratch


def test_a_later_release_with_more_fields_and_this_one_understand_each_other(later: Path, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    shutil.copytree(RECORDED / str(FORMS), ours)
    for folder in (theirs, ours):  # it records its own, and reads ours
        subprocess.run(
            [sys.executable, "-P", "-m", "tests.forms", str(folder)],
            env=os.environ | {"PYTHONPATH": str(later)},
            cwd=later,
            timeout=60,
            check=True,
        )
    recorded = sorted(theirs.iterdir())
    today = {name: record() for name, record in files()}
    assert [path.name for path in recorded] == sorted(today)
    for path in recorded:
        own = today[path.name]
        if path.suffix == ".pickle":
            assert LATER.encode() in path.read_bytes()
            assert pickle.loads(path.read_bytes()) == pickle.loads(own), path.name
        elif path.stem in COMPUTED:
            assert path.read_bytes() == own, path.name
        else:
            hint, encoding = STORED[path.stem]
            assert decode(path.read_bytes(), encoding, hint) == decode(own, encoding, hint), path.name
    assert LATER.encode() in (theirs / "cluster.context.Context.pickle").read_bytes()
    assert len((theirs / "offer.msgpack").read_bytes()) > len(today["offer.msgpack"])

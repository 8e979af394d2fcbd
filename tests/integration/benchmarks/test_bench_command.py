"""`postray bench`: the harness under the product's own command."""

import subprocess
import sys

from click.testing import CliRunner

from benchmarks.__main__ import main as harness
from cluster.cli import main


def test_it_is_the_harness() -> None:
    result = CliRunner().invoke(main, ["bench", "--help"])
    assert result.exit_code == 0
    assert result.output.startswith("Usage: postray bench ")
    assert all(name in result.output for name in harness.commands)


def test_options_and_exit_status_are_the_scenarios() -> None:
    helped = CliRunner().invoke(main, ["bench", "end-to-end", "--help"])
    assert (helped.exit_code, "--per-request" in helped.output) == (0, True)
    refused = CliRunner().invoke(main, ["bench", "end-to-end", "--messages", "1"])
    assert refused.exit_code == 2
    assert "Usage: postray bench end-to-end" in refused.output


def test_a_settings_file_is_refused() -> None:
    result = CliRunner().invoke(main, ["--config", "postray.toml", "bench", "compare"])
    assert (result.exit_code, "takes no settings file" in result.output) == (2, True)


def test_the_command_is_told_without_loading_the_harness() -> None:
    program = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from cluster.cli import main\n"
        "assert 'bench ' in CliRunner().invoke(main, ['--help']).output\n"
        "assert not any(name.split('.')[0] == 'benchmarks' for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

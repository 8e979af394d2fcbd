"""The command line imports what a command needs, and no more: all of postray takes a second."""

import subprocess
import sys


def test_a_command_imports_only_what_it_needs() -> None:
    program = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from cluster.cli import main\n"
        "assert CliRunner().invoke(main, ['sites', '--help']).exit_code == 0\n"
        "assert 'cluster.commands.sites' in sys.modules\n"
        "assert not {'cluster.up', 'cluster.journal.journal', 'psycopg', 'ray'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=60)

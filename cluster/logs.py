"""Logs: one line for each record, ``time level process logger event key=value …``. Each process has a file in
data_dir/logs."""

import logging
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

from cluster.installation.private_files import make_folder
from cluster.printable import printable
from cluster.settings import LogSettings

KEPT_FILES = 5
OURS = ("cluster", "analytics", "actors", "api")
"""Loggers to which ``level`` applies. Libraries log warnings and errors only, unless ``levels`` names them."""


class LineFormatter(logging.Formatter):
    """Formats a record as one line without control characters. The lines of a traceback are joined with " | "."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        return printable(" | ".join(super().format(record).split("\n")))


def configure(process: str, settings: LogSettings, data_dir: Path) -> None:
    """Send this process's log to its file. Called once, at the start of the process."""
    folder = data_dir / "logs"
    make_folder(folder)
    handler = RotatingFileHandler(
        folder / f"{process}.log", maxBytes=settings.max_bytes, backupCount=KEPT_FILES, encoding="utf-8"
    )
    handler.setFormatter(LineFormatter(f"%(asctime)s %(levelname)s {process} %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(settings.level.upper())
    for name, level in settings.levels.items():
        logging.getLogger(name).setLevel(level.upper())

"""The machine and the code of a run, as far as they matter to a figure.

It also measures the current speed of the machine with a yardstick: virtual machines of the same size differ by a
factor, and the same one by half from hour to hour. Figures of two runs are comparable only together with it.
"""

import platform
import subprocess
import time
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from actors.compose.multibuffer import why_one_at_a_time

ROOT = Path(__file__).parents[1]
YARDSTICK_US = 320.0
"""The duration of a signature on the machine that the targets were set on."""
SIGNATURES = 200
"""Signatures made for the yardstick; their median counts."""


def machine() -> dict[str, Any]:
    """The properties of the machine that matter."""
    return {
        "cpus": psutil.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    """The vendor's name for it, and whether it makes several signatures at a time."""
    told = Path("/proc/cpuinfo")  # of Linux
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return model if why_one_at_a_time() else f"{model}, signing eight at a time"


def signature_us() -> float:
    """The duration of an RSA-2048 signature by OpenSSL on one core now, in µs.

    It is the largest cost of a message where signatures are made one at a time, and contains none of the product's
    code: so it measures the speed of the machine only.
    """
    key, form, digest = _key(), padding.PKCS1v15(), hashes.SHA256()
    took = []
    for _ in range(SIGNATURES):
        began = time.perf_counter()
        key.sign(b"yardstick", form, digest)
        took.append(time.perf_counter() - began)
    return round(median(took) * 1e6, 1)


@cache
def _key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def commit() -> str:
    """The commit of the code, with ``+`` when files differ from it; empty outside a repository."""
    try:
        head, changes = (
            subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True).stdout
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.strip() + ("+" if changes.strip() else "")

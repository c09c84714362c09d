"""Code that runs as another user of this machine, where tests run as root."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

UID = 65_534
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
_BECOME = "import os; os.setgroups([]); os.setresgid({uid}, {uid}, {uid}); os.setresuid({uid}, {uid}, {uid})"


def as_other(imports: str, code: str, *arguments: str | Path, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run code as another user.

    Args:
        imports: statements that run before; the other user may not be able to read Python's own files.
        code: what runs then; it finds the arguments in sys.argv[1:].
        arguments: for it.
        seconds: how long it may take.
    """
    program = "\n".join(("import sys, asyncio, time", imports, _BECOME.format(uid=UID), code))
    command = [sys.executable, "-P", "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user of this machine can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)

"""A program that runs a module through the fork server, for those who start programs, as Prefect's worker does.

`python -S tests/support/forked.py MODULE ARGUMENTS` has the module's output, exit code and signals for its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])  # not what lies beside this file

from tests.support import forkserver  # noqa: E402


def command(*arguments: str) -> list[str]:
    """Return what runs a module so; without `site`, which costs more than all the rest."""
    return [sys.executable, "-S", __file__, *arguments]


def main() -> int:
    """Run it, and return its exit code."""
    process = forkserver.start(*sys.argv[1:], cwd=Path.cwd(), env=os.environ, stdout=1, stderr=2)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: _pass_on(process.pid, number))
    code = process.wait()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _pass_on(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main())

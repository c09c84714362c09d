"""A program that ends what is left of a test run when the run has ended, however it did.

`python -S tests/support/sweeper.py VARIABLE VALUE DIRECTORY` waits until its standard input is closed, which the system
does when the run was killed. Then it kills all processes in whose environment the variable has the value, until there
are none, and removes the directory. It has not the variable itself, and imports little: every run starts it.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

_PASSES = 100
_PAUSE_SECONDS = 0.05


def main(variable: str, value: str, directory: str) -> None:
    """Wait for the end of the run, and end what is left."""
    sys.stdin.buffer.read()
    mark = f"{variable}={value}".encode()
    for _ in range(_PASSES):  # what is killed may be starting another
        left = [process for process in Path("/proc").iterdir() if process.name.isdecimal() and _has(process, mark)]
        if not left:
            break
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)
    shutil.rmtree(directory, ignore_errors=True)


def _has(process: Path, mark: bytes) -> bool:
    try:
        return mark in (process / "environ").read_bytes().split(b"\0")
    except OSError:  # another user's, or it has just ended
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])

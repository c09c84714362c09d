"""`python -m tests.aws.leash MODULE [ARGUMENT...]`: run a module that the kernel kills when its parent goes."""

import ctypes
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PR_SET_PDEATHSIG = 1


def leashed(
    module: str, *arguments: object, log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a module that does not outlive the calling thread; what it prints is appended to `log`."""
    command = [sys.executable, "-m", "tests.aws.leash", str(os.getpid()), module, *map(str, arguments)]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill it, stopped or not, and wait until it is gone."""
    process.kill()
    process.wait()


if __name__ == "__main__":
    parent, name = int(sys.argv[1]), sys.argv[2]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before the leash was on
        sys.exit(1)
    sys.argv = [name, *sys.argv[3:]]
    runpy.run_module(name, run_name="__main__", alter_sys=True)

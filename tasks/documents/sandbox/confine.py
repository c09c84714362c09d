"""What the sandboxed process is forbidden before it sees a document, and what each document and page may take of it."""

from __future__ import annotations

import ctypes
import math
import signal
import sys
from contextlib import suppress
from typing import Any

from tasks.documents.sandbox import landlock, seccomp

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_OPEN_FILES = 16


def confine(megabytes: int) -> dict[str, Any]:
    """Forbid this process all that rendering does not take, for good.

    What is to be imported has to be: no file can be opened afterwards.

    Args:
        megabytes: the most memory that it may ever have.

    Returns:
        What the kernel holds: its version of Landlock, 0 if it has none, and whether it has seccomp.
    """
    limit_memory(megabytes, for_good=True)
    if sys.platform == "win32":
        return {"landlock": 0, "seccomp": False}
    import resource

    for kind, most in (
        *((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NPROC, 0)),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        with suppress(ValueError, OSError):  # it is lower, or unknown to this system
            resource.setrlimit(kind, (most, most))
    if sys.platform != "linux":
        return {"landlock": 0, "seccomp": False}
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # its memory is nobody's to read
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return {"landlock": landlock.restrict(), "seccomp": seccomp.restrict()}


def limit_memory(megabytes: int, *, for_good: bool = False) -> int:
    """Cap this process's address space, where the system can, at what is asked for or may be had.

    Args:
        megabytes: the cap.
        for_good: it is not raised again.

    Returns:
        The cap, megabytes.
    """
    if sys.platform == "linux":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        size = megabytes * 1_000_000
        size = size if most == resource.RLIM_INFINITY else min(size, most)
        resource.setrlimit(resource.RLIMIT_AS, (size, size if for_good else most))
        return size // 1_000_000
    return megabytes


def limit_processor(seconds: float) -> None:
    """Have the system end this process by SIGPROF after so many more seconds at work, however busy the machine is.

    And by SIGXCPU soon afterwards: of the first, what has taken the process over could rid itself.
    """
    if sys.platform == "win32":
        return
    import resource

    signal.setitimer(signal.ITIMER_PROF, seconds)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))

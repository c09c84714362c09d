"""Confinement of the sandboxed process before its first document, and limits for each document and page."""

import ctypes
import math
import resource
import signal
import sys
from contextlib import suppress
from typing import Any

from tasks.documents.sandbox import landlock, seccomp

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_OPEN_FILES = 16


def confine(megabytes: int) -> dict[str, Any]:
    """Drop all rights of this process that rendering does not need, for good.

    Every module must have been imported, since no file can be opened afterwards.

    Args:
        megabytes: the most memory that the process may ever have.

    Returns:
        How the kernel confines it: the version of Landlock, 0 if it has none, and whether it has seccomp.
    """
    limit_memory(megabytes, for_good=True)
    for kind, most in (
        *((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NPROC, 0)),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        with suppress(ValueError, OSError):  # it is lower already, or unknown to this system
            resource.setrlimit(kind, (most, most))
    if sys.platform != "linux":
        return {"landlock": 0, "seccomp": False}
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # no process may read its memory
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return {"landlock": landlock.restrict(), "seccomp": seccomp.restrict()}


def limit_memory(megabytes: int, *, for_good: bool = False) -> int:
    """Limit this process's address space (Linux), at most to the hard limit.

    Args:
        megabytes: the limit.
        for_good: it cannot be raised again.

    Returns:
        The limit that is set, in megabytes.
    """
    if sys.platform == "linux":
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        size = megabytes * 1_000_000
        size = size if most == resource.RLIM_INFINITY else min(size, most)
        resource.setrlimit(resource.RLIMIT_AS, (size, size if for_good else most))
        return size // 1_000_000
    return megabytes


def limit_processor(seconds: float) -> None:
    """Have the system end this process by SIGPROF after this many more seconds of processor time.

    SIGXCPU follows soon, in case malicious code in the process has blocked SIGPROF.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    limit = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))

"""Confinement of the sandboxed process before its first document, and limits for each document and page."""

import ctypes
import math
import os
import resource
import signal
import struct
import sys
from contextlib import suppress
from typing import Any

from tasks.documents.sandbox import seccomp

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_OPEN_FILES = 16
# Landlock (Linux 5.13 and later): system call numbers, equal on every architecture.
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_ASK_VERSION = 1
# The rights that each version of the interface added: on files (refer in 2, truncate in 3, device ioctl in 5), TCP
# (4: bind and connect), and scopes (6: abstract sockets and signals).
_FILES = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 5: 0xFFFF}
_TCP = {4: 0b11}
_SCOPES = {6: 0b11}


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
    return {"landlock": _restrict_with_landlock(), "seccomp": seccomp.restrict()}


def _restrict_with_landlock() -> int:
    """Drop the rights to files, connections and signals that Landlock controls, for good. Open descriptors stay open.

    Returns:
        The kernel's version of Landlock; 0 if it has none.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION))
    if version < 1:
        return 0
    forbidden = [
        max((right for since, right in rights.items() if since <= version), default=0)
        for rights in (_FILES, _TCP, _SCOPES)
    ]
    rules = struct.pack("QQQ", *forbidden)[: 8 * (1 + bool(forbidden[1]) + bool(forbidden[2]))]
    ruleset = int(libc.syscall(_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0))
    if ruleset < 0:
        return 0
    refused = libc.syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return 0 if refused else version


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

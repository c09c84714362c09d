"""Seccomp (Linux): the process may make only the system calls for computing and for its socket."""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

_PR_SET_SECCOMP, _FILTER = 22, 2
_LOAD, _JUMP_EQUAL, _JUMP_FROM, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_X32 = 0x40000000
_PROT_EXEC, _AT_EMPTY_PATH = 0x4, 0x1000

# System calls with their numbers on x86-64 and AArch64; -1 where there is none.
_CALLS = {
    **{"read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67)},
    **{"close": (3, 57), "lseek": (8, 62), "fstat": (5, 80), "fcntl": (72, 25), "dup2": (33, -1), "dup3": (292, 24)},
    **{"poll": (7, -1), "ppoll": (271, 73), "select": (23, -1), "pselect6": (270, 72)},
    **{"sendto": (44, 206), "recvfrom": (45, 207), "sendmsg": (46, 211), "recvmsg": (47, 212), "shutdown": (48, 210)},
    **{"munmap": (11, 215), "mremap": (25, 216), "madvise": (28, 233), "brk": (12, 214), "membarrier": (324, 283)},
    **{"rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132)},
    **{"futex": (202, 98), "set_robust_list": (273, 99), "rseq": (334, 293), "sched_yield": (24, 124)},
    **{"clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "nanosleep": (35, 101)},
    **{"gettimeofday": (96, 169), "time": (201, -1), "times": (100, 153), "restart_syscall": (219, 128)},
    **{"setitimer": (38, 103)},
    **{"getpid": (39, 172), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175)},
    **{"getgid": (104, 176), "getegid": (108, 177), "getrusage": (98, 165), "sysinfo": (99, 179)},
    **{"sched_getaffinity": (204, 123), "getrandom": (318, 278), "exit": (60, 93), "exit_group": (231, 94)},
}
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


@dataclass(frozen=True)
class _Bounded:
    """A call that is allowed only if one argument, masked, has this value."""

    numbers: tuple[int, int]
    argument: int
    mask: int
    value: int


def _bounded() -> tuple[_Bounded, ...]:
    return (
        _Bounded((9, 222), 2, _PROT_EXEC, 0),  # mmap: no executable memory
        _Bounded((10, 226), 2, _PROT_EXEC, 0),  # mprotect: likewise
        _Bounded((262, 79), 3, _AT_EMPTY_PATH, _AT_EMPTY_PATH),  # newfstatat: the implementation of fstat
        _Bounded((302, 261), 0, 0xFFFFFFFF, 0),  # prlimit64: its own limits
        _Bounded((234, 131), 0, 0xFFFFFFFF, os.getpid()),  # tgkill: itself, to abort
    )


def restrict() -> bool:
    """Refuse all other calls with EPERM, for good: no file or socket can be opened, and no process started.

    `PR_SET_NO_NEW_PRIVS` must be set.

    Returns:
        Whether the kernel does so; no on an architecture whose numbers are unknown.
    """
    if sys.platform != "linux" or platform.machine() not in _ARCHITECTURES or sys.maxsize < 2**32:
        return False
    column, architecture = _ARCHITECTURES[platform.machine()]
    program = b"".join(_program(column, architecture))
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and their address.
    loaded = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    return bool(ctypes.CDLL(None).prctl(_PR_SET_SECCOMP, _FILTER, loaded, 0, 0) == 0)


def _program(column: int, architecture: int) -> Iterator[bytes]:
    yield _step(_LOAD, _ARCHITECTURE)
    yield _step(_JUMP_EQUAL, architecture, 1, 0)
    yield _step(_RETURN, _REFUSE)
    yield _step(_LOAD, _NUMBER)
    yield _step(_JUMP_FROM, _X32, 0, 1)
    yield _step(_RETURN, _REFUSE)
    for numbers in _CALLS.values():
        if numbers[column] >= 0:
            yield _step(_JUMP_EQUAL, numbers[column], 0, 1)
            yield _step(_RETURN, _ALLOW)
    for call in _bounded():
        yield _step(_JUMP_EQUAL, call.numbers[column], 0, 5)
        yield _step(_LOAD, _ARGUMENTS + 8 * call.argument)  # the lower half: both architectures are little-endian
        yield _step(_AND, call.mask)
        yield _step(_JUMP_EQUAL, call.value, 0, 1)
        yield _step(_RETURN, _ALLOW)
        yield _step(_RETURN, _REFUSE)
    yield _step(_RETURN, _REFUSE)


def _step(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, operand)

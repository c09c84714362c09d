"""Landlock (Linux 5.13 and later): the process may open no file, connect to nothing, and signal no other process."""

import ctypes
import os
import struct

# System call numbers, equal on every architecture.
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_ASK_VERSION = 1
# The rights that each version of the interface added: on files (refer in 2, truncate in 3, device ioctl in 5), TCP
# (4: bind and connect), and scopes (6: abstract sockets and signals).
_FILES = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 5: 0xFFFF}
_TCP = {4: 0b11}
_SCOPES = {6: 0b11}


def restrict() -> int:
    """Drop all rights that Landlock controls, for good. Open descriptors stay open.

    Returns:
        The kernel's version of Landlock; 0 if it has none.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION))
    if version < 1:
        return 0
    forbidden = [_newest(rights, version) for rights in (_FILES, _TCP, _SCOPES)]
    rules = struct.pack("QQQ", *forbidden)[: 8 * (1 + bool(forbidden[1]) + bool(forbidden[2]))]
    ruleset = int(libc.syscall(_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0))
    if ruleset < 0:
        return 0
    refused = libc.syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return 0 if refused else version


def _newest(rights: dict[int, int], version: int) -> int:
    return max((right for since, right in rights.items() if since <= version), default=0)

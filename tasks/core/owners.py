"""Who owns files, and who holds them locked: users and groups by name, and whether a group is one user's own."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path


def user_name(uid: int) -> str:
    """Return a user's name and number."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def is_private_group(gid: int, owner: int) -> bool:
    """Return whether a group is that of one user alone, as most systems make one for each user.

    Args:
        gid: the group's.
        owner: the user's.
    """
    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(owner)
    except KeyError:
        return gid == os.getegid() == owner == os.geteuid()  # a container's user without a name
    return gid == user.pw_gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def foreign_holder(path: Path) -> str:
    """Return who holds a file, if it is a process of another user; empty if it is none, or nobody."""
    found = _holder(path)
    if found is None or found[1] == os.geteuid():
        return ""
    process, user = found
    return f"{user_name(user)}" + (f", process {process}" if process else "")


def _holder(path: Path) -> tuple[int, int] | None:
    """Return the process and the user that hold a file; process 0 if it cannot be told, and then its owner."""
    try:
        found = path.stat()
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()  # 1: FLOCK ADVISORY WRITE 1234 08:01:131073 0 EOF
            if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(found.st_ino):
                return int(fields[4]), Path("/proc", fields[4]).stat().st_uid
    except (OSError, ValueError):  # it is over, or of another namespace, or the system has no such list
        pass
    try:
        return 0, path.stat().st_uid
    except OSError:
        return None

"""Owners of files, processes that hold file locks, and groups that belong to one user."""

import grp
import os
import pwd
from contextlib import suppress
from pathlib import Path


def user_name(uid: int) -> str:
    """Return a user's name and number."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def is_private_group(gid: int, owner: int) -> bool:
    """Return whether a group is the user's own group, as most systems make one for each user."""
    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(owner)
    except KeyError:
        return gid == os.getegid() == owner == os.geteuid()  # a container's user without a name
    return gid == user.pw_gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def foreign_holder(path: Path) -> str:
    """Return which other user's process holds a file locked, or else which other user owns it; empty if none."""
    process, user = 0, os.geteuid()
    with suppress(OSError):
        file = path.stat()
        user = file.st_uid
        with suppress(OSError, ValueError):  # the process ended, is of another namespace, or there is no such list
            for line in Path("/proc/locks").read_text().splitlines():
                fields = line.split()  # 1: FLOCK ADVISORY WRITE 1234 08:01:131073 0 EOF
                if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(file.st_ino):
                    process, user = int(fields[4]), Path("/proc", fields[4]).stat().st_uid
                    break
    if user == os.geteuid():
        return ""
    return user_name(user) + (f", process {process}" if process else "")

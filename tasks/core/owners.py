"""Who owns files: users and groups by name, and whether a group is one user's own."""

from __future__ import annotations

import grp
import os
import pwd


def name_of(uid: int) -> str:
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

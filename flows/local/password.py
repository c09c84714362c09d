"""The password of the Prefect servers that Hearth starts: random, in a file that only this user can read.

A client of a Prefect server can make its worker run any command, so each server that Hearth starts requires this
password. Hearth passes it to its own clients in the environment, never on a command line, which every user can see.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe
from tempfile import NamedTemporaryFile

from tasks.core.errors import ServerError

_USER = "hearth"
_MOST_BYTES = 1000


def password_file(home: Path) -> Path:
    """Return the path of the password file: one line in Prefect's format, `user:password`."""
    return home / "prefect-password"


def password(home: Path) -> str:
    """Return the password, and create it at its first use. It is replaced if others could have read or written it.

    Raises:
        ServerError: the file belongs to another user, or cannot be written.
    """
    path = password_file(home)
    try:
        return _read(path) or _make(path, replace=True)
    except FileNotFoundError:
        return _make(path, replace=False)
    except OSError as error:
        raise _unusable(path, f"cannot be used ({error.strerror})") from None


def renew_password(home: Path) -> None:
    """Replace the password, because it may have been sent to a stranger."""
    _make(password_file(home), replace=True)


def _read(path: Path) -> str | None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor) as file:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise _unusable(path, "belongs to another user")
        text = file.read(_MOST_BYTES).strip()
    return text if not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) and ":" in text else None


def _make(path: Path, *, replace: bool) -> str:
    """Create a password file atomically; of two concurrent ones the first stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=path.parent, prefix=".prefect-password-") as file:  # its mode is 0600
        file.write(f"{_USER}:{token_urlsafe(32)}\n")
        file.flush()
        os.fsync(file.fileno())
        if replace:
            path.unlink(missing_ok=True)
        with suppress(FileExistsError):
            os.link(file.name, path)
    made = _read(path)
    if made is None:
        raise _unusable(path, "cannot be hidden from other users")
    return made


def _unusable(path: Path, why: str) -> ServerError:
    return ServerError(f"{path} {why}. Set HEARTH_HOME to a directory of your own.")

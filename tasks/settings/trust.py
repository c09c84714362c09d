"""Trust in the working directory: which .env is read, and what Prefect reads and imports there.

A directory of documents may hold files of strangers. No file there runs code unless HEARTH_TRUST_DIRECTORY=1 is in the
environment, and files that other users may write are not read at all.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic_settings.sources import ConfigFileSourceMixin

from tasks.core.errors import InputError
from tasks.core.owners import is_private_group, user_name
from tasks.core.private import Sharing, sharing

TRUST = "HEARTH_TRUST_DIRECTORY"
_GUARD = Path(__file__).parent / "guard"
# The address of Prefect's API, and its connection; other Prefect settings run code, or name a file that does.
_API_PREFIXES = ("PREFECT_API_", "PREFECT_UI_", "PREFECT_CLIENT_")
_HARMLESS = {"PREFECT_LOGGING_LEVEL"}
_SECTION = re.compile(r"^\s*\[+\s*tool\s*\.\s*prefect\b", re.MULTILINE)
_MOST_BYTES = 1_000_000
_read_files = ConfigFileSourceMixin._read_files


def is_trusted() -> bool:
    """Return whether Prefect's files in the working directory are honoured; only the environment decides."""
    return os.environ.get(TRUST, "").strip().lower() in {"1", "true", "yes", "on"}


def is_honoured(name: str) -> bool:
    """Return whether a variable in .env is honoured: of Prefect's, only those about its API."""
    upper = name.upper()
    return not upper.startswith("PREFECT_") or upper in _HARMLESS or upper.startswith(_API_PREFIXES) or is_trusted()


def settle_prefect() -> None:
    """Keep Prefect, here and in child processes, from reading files and modules of the working directory.

    Call it before Prefect is imported, because Prefect reads its settings on import. It can be called repeatedly.
    """
    ignore_config_files()
    if is_trusted():
        return
    os.environ["PYTHONSAFEPATH"] = "1"
    # An empty entry stands for the working directory.
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(_GUARD)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(_GUARD), *paths])
    with suppress(RuntimeError):  # a user without a home directory, where Prefect has none either
        home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
        os.environ.setdefault("PREFECT_PROFILES_PATH", str(home / "profiles.toml"))
    os.environ["PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES"] = "false"  # uv would install those of a pyproject.toml


def ignore_config_files() -> None:
    """Keep Prefect in this process from reading prefect.toml and pyproject.toml."""
    source: Any = ConfigFileSourceMixin
    source._read_files = _read_files if is_trusted() else _none_of_prefects


def _none_of_prefects(self: Any, *files: Any, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - the library's
    return {} if type(self).__module__.split(".")[0] == "prefect" else _read_files(self, *files, **options)


def ignored_files() -> Iterator[str]:
    """Yield the files with Prefect settings in the working directory that are not honoured."""
    if is_trusted():
        return
    if Path("prefect.toml").exists():
        yield "prefect.toml"
    try:
        with Path("pyproject.toml").open(errors="replace") as file:
            if _SECTION.search(file.read(_MOST_BYTES)):
                yield "pyproject.toml"
    except OSError:
        return


def refuse_strangers(path: Path, descriptor: int) -> None:
    """Check that strangers cannot have written an open file of the working directory.

    Args:
        path: the path of the file.
        descriptor: the open file, which cannot be replaced after the check.

    Raises:
        InputError: others may write it, or its owner is neither this user, nor root, nor the directory's owner.
    """
    if why := _why_not(path, os.fstat(descriptor)):
        raise InputError(
            f"{path.absolute()} is not read: {why}. Make it your own file that you alone may write "
            "(chown, chmod go-w), or remove it and set what it sets in the environment."
        )


def _why_not(path: Path, file: os.stat_result) -> str:
    folder = path.absolute().parent.stat()
    trusted = {os.geteuid(), 0, folder.st_uid}
    links = [path.lstat()] if path.is_symlink() else []
    for owned, what in ((file, "it"), *((link, "the link") for link in links)):
        if owned.st_uid not in trusted:
            return f"{what} belongs to {user_name(owned.st_uid)}"
    if file.st_mode & stat.S_IWOTH:
        return "every user may write it"
    shared = sharing() is not Sharing.NO  # from the environment, because this file is not read yet
    if file.st_mode & stat.S_IWGRP and not shared and not is_private_group(file.st_gid, file.st_uid):
        return "a group of several users may write it"
    for place in {path.absolute().parent, path.resolve().parent}:
        mode = place.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return f"every user may replace it, because {place} is writable for all"
    return ""


def refuse_strangers_file(path: Path) -> None:
    """Check that strangers cannot have written a file; see `refuse_strangers`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        refuse_strangers(path, descriptor)
    finally:
        os.close(descriptor)

"""What a program that Hearth starts is told of this one's environment: what it needs, and no secret of anybody's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

PYTHON = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""What an interpreter needs to find itself and its libraries, where it is not told otherwise."""

MACHINE = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LANG", "LC_*", "XDG_*"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
"""What a server needs to find its files and the way to the network from which models are downloaded."""

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)


def select_variables(names: Iterable[str]) -> dict[str, str]:
    """Return the variables of these names that are set.

    Args:
        names: in full, or with a `*` at the end for all that begin so; of these none that sounds like a secret.
    """
    exact = {name for name in names if not name.endswith("*")}
    begin = tuple(name[:-1] for name in names if name.endswith("*"))
    return {
        name: value
        for name, value in os.environ.items()
        if name in exact or (begin and name.startswith(begin) and not _SECRET.search(name))
    }

"""The part of this process's environment that a child process needs, without secrets."""

import os
import re
from collections.abc import Iterable

PYTHON = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""Variables by which a Python interpreter finds itself and its libraries."""

MACHINE = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LANG", "LC_*", "XDG_*"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
"""Variables by which a server finds its files and the network from which it downloads models."""

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)


def select_variables(names: Iterable[str]) -> dict[str, str]:
    """Return the variables that are set and have one of these names, or a prefix that ends with `*`.

    A prefix selects no variable whose name suggests a secret.
    """
    exact = {name for name in names if not name.endswith("*")}
    prefixes = tuple(name[:-1] for name in names if name.endswith("*"))
    return {
        name: value
        for name, value in os.environ.items()
        if name in exact or (prefixes and name.startswith(prefixes) and not _SECRET.search(name))
    }

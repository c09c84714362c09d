"""Runs first in each Python process that the `hearth` command starts, including Prefect's programs.

Prefect reads its settings on import, also from files in the working directory; see `tasks.settings.trust`.
"""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

if any("prefect" in argument or "flows." in argument for argument in sys.orig_argv[1:]):
    try:
        from tasks.settings.env_file import read_any_encoding
        from tasks.settings.trust import ignore_config_files
    except ImportError as error:
        # Unchecked settings would be used otherwise: `site` continues after any other exception.
        sys.exit(f"Prefect is not started: Hearth is not installed for {sys.executable} ({error}).")
    read_any_encoding()
    ignore_config_files()

# Run the sitecustomize that this one hides, if there is one.
hidden = PathFinder.find_spec("sitecustomize", [path for path in sys.path if path != str(Path(__file__).parent)])
if hidden is not None and hidden.loader is not None:
    hidden.loader.exec_module(module_from_spec(hidden))

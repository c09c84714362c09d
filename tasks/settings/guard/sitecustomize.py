"""Is run by each Python that the `hearth` command starts, before anything else: Prefect's programs among them.

Prefect reads its settings when it is imported, from files of the working directory, too; see `tasks.settings.trust`.
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
        # Rather than run with settings that nobody has looked at; `site` goes on after any other exception.
        sys.exit(f"Prefect is not started: Hearth is not installed for {sys.executable} ({error}).")
    read_any_encoding()
    ignore_config_files()

# The one that this one hides, if the environment has one.
hidden = PathFinder.find_spec("sitecustomize", [path for path in sys.path if path != str(Path(__file__).parent)])
if hidden is not None and hidden.loader is not None:
    hidden.loader.exec_module(module_from_spec(hidden))

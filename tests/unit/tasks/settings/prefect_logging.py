"""A process that prints which file configures Prefect's logging, as Prefect understands it there.

`python -m tests.unit.tasks.settings.prefect_logging [trusting]` with an argument leaves Prefect's settings as they are.
"""

import sys

from tasks.settings.env_file import read_any_encoding
from tasks.settings.trust import settle_prefect

if __name__ == "__main__":
    if len(sys.argv) == 1:
        settle_prefect()
    read_any_encoding()

    from prefect.settings import get_current_settings

    print(get_current_settings().logging.config_path)  # noqa: T201 - it is all that it does

"""The process of one run, which imports Hearth's flows before Prefect loads the run's flow.

While Prefect loads a flow, the working directory is first on the import path.
"""

import gc
import runpy
import sys
from importlib import import_module

from tasks.core.imports import importing

FLOWS = ("flows.process_document", "flows.process_batch", "flows.idle_shutdown", "flows.plan_costs")
_USED_BY_RUNS = (
    *("prefect.flow_engine", "prefect.task_engine", "prefect.runner", "prefect.utilities.visualization"),
    *("anyio._backends._asyncio", "websockets.asyncio.client", "encodings.idna"),
)


def import_engine() -> None:
    """Import the installed flows, so that Prefect does not search the working directory for them, and what they use."""
    from tasks.core.authorities import read_authorities_late

    read_authorities_late()
    for name in FLOWS + _USED_BY_RUNS:
        import_module(name)


def run() -> None:
    """Run the flow run that PREFECT__FLOW_RUN_ID names."""
    sys.modules.pop("prefect.engine", None)  # runpy warns of a module that was imported
    try:
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
    finally:
        gc.freeze()  # the interpreter would look through all objects once more


def main() -> None:
    """Import the flows, and run the flow run."""
    with importing():
        import_engine()
    run()


if __name__ == "__main__":
    main()

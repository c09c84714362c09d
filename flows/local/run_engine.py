"""The process of one run, which imports Hearth's flows before Prefect loads the run's flow.

While Prefect loads a flow, the working directory is first on the import path.
"""

import runpy
from importlib import import_module

FLOWS = ("flows.process_document", "flows.process_batch", "flows.idle_shutdown", "flows.plan_costs")


def import_flows() -> None:
    """Import the installed flows, so that Prefect does not search the working directory for them."""
    for name in FLOWS:
        import_module(name)


def main() -> None:
    """Run the flow run that PREFECT__FLOW_RUN_ID names."""
    import_flows()
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

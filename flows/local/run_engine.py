"""The process of one run. It imports Hearth's flows before Prefect looks for them in the working directory.

Prefect puts that directory first on the import path while it loads a flow.
"""

import runpy
from importlib import import_module

FLOWS = ("flows.process_document", "flows.process_batch", "flows.idle_shutdown", "flows.plan_costs")


def import_flows() -> None:
    """Import the installed flows, so that Prefect finds them already imported."""
    for name in FLOWS:
        import_module(name)


def main() -> None:
    """Run the flow run that PREFECT__FLOW_RUN_ID names."""
    import_flows()
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

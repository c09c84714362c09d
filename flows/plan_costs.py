"""`hearth plan` as a flow: its figures are artifacts in Prefect's UI."""

# No postponed annotations here: a served flow is pickled, and would lose its parameters' types.

import asyncio
from base64 import b64encode

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from tasks.core.durations import format_duration
from tasks.planning.chart import picture
from tasks.planning.request import PlanRequest, make_plan
from tasks.planning.verdict import CostPlan
from tasks.settings.settings import load_settings


@flow(name="plan-costs", flow_run_name="plan costs", persist_result=False)
async def plan_costs(request: PlanRequest) -> CostPlan:
    """Compare the time and cost of reading on every architecture. It starts nothing.

    Args:
        request: Documents or a number of pages, a deadline, a budget, and assumptions.

    Returns:
        The plan; a table, a verdict and a picture are the run's artifacts.

    Raises:
        InputError: the request is wrong.
    """
    plan = await asyncio.to_thread(make_plan, request, load_settings())
    await acreate_table_artifact(_table(plan), key="hearth-plan-architectures", description=plan.verdict)
    shown = b64encode(picture(plan).encode()).decode()
    notes = "\n".join(f"- {note}" for note in plan.notes)
    text = f"{plan.verdict}\n\n{notes}\n\n![Time and dollars](data:image/svg+xml;base64,{shown})\n"
    await acreate_markdown_artifact(text, key="hearth-plan-verdict", description=f"{plan.pages:,} pages")
    return plan


def _table(plan: CostPlan) -> list[dict[str, object]]:
    return [
        {
            "architecture": row.shape.value,
            "machines": row.machines,
            "runs": row.running.value,
            "terms": row.term.value,
            "boot": format_duration(row.boot.typical),
            "load": format_duration(row.load.typical),
            "reading": format_duration(row.reading.typical),
            "total": f"{format_duration(row.total.low)} - {format_duration(row.total.high)}",
            "USD low": round(row.usd.low, 4),
            "USD": round(row.usd.typical, 4),
            "USD high": round(row.usd.high, 4),
            "USD per 1,000 pages": round(row.usd_per_1000.typical, 2),
        }
        for row in plan.rows
    ]

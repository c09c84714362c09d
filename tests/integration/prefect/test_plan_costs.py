"""The artifacts of the flow `plan-costs` on Prefect's server."""

import json
import subprocess
import sys

import pytest
from prefect.flows import load_flow_from_entrypoint

from tests.support.commands import ROOT, Hearth

CODE = """
import asyncio, json, sys
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from flows.plan_costs import plan_costs
from flows.local.prefect_server import prefect_api
from tasks.planning.request import PlanRequest
from tasks.settings.settings import load_settings

async def main():
    async with prefect_api(load_settings()):
        plan = await plan_costs(PlanRequest(pages=50))
        async with get_client() as client:
            ours = ArtifactFilter(key=ArtifactFilterKey(like_="hearth-plan-%"))
            found = await client.read_artifacts(artifact_filter=ours)
    print(json.dumps({"rows": len(plan.rows), "artifacts": {a.key: [a.type, a.data] for a in found}}))

asyncio.run(main())
"""


def test_the_dotted_entrypoint_loads():
    assert load_flow_from_entrypoint("flows.plan_costs.plan_costs").name == "plan-costs"


@pytest.mark.long("a process of its own that runs the flow: 14 s")
def test_a_run_creates_a_table_and_a_verdict_with_a_picture(hearth: Hearth):
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, cwd=ROOT, env=hearth.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    kind, table = told["artifacts"]["hearth-plan-architectures"]
    assert kind == "table"
    assert len(json.loads(table)) == told["rows"]
    kind, text = told["artifacts"]["hearth-plan-verdict"]
    assert kind == "markdown"
    assert text.startswith("Cheapest:")
    assert "data:image/svg+xml;base64," in text

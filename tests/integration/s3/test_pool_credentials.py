"""AWS credentials of a whole work pool: its job template names an AwsCredentials block, resolved when a run starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.prefect.hearth_up import brought_up
from tests.support import pdfs
from tests.support.aws.buckets import BUCKET, keys, make_bucket
from tests.support.aws.front import AwsFront

KEY, SECRET = "AKIAOFTHEWORKPOOLS01", "the-pools-own-secret"
BLOCK = "prefect.blocks.aws-credentials.hearth"
SAVE = (
    "import sys; from prefect_aws import AwsCredentials;"
    "AwsCredentials(aws_access_key_id=sys.argv[1], aws_secret_access_key=sys.argv[2]).save('hearth')"
)


@pytest.mark.long("starts Prefect and a worker")
@pytest.mark.timeout(600)
def test_runs_of_a_pool_use_the_credentials_block_of_its_template(aws: AwsFront, tmp_path: Path):
    s3: Any = make_bucket(aws)
    with brought_up(tmp_path / "up", AWS_ENDPOINT_URL=aws.url) as up:
        environment = {**up.hearth.environment, "PREFECT_PROFILE": "hearth"}
        subprocess.run([sys.executable, "-c", SAVE, KEY, SECRET], env=environment, check=True, capture_output=True)
        template = up.get("/work_pools/hearth")["base_job_template"]
        template["variables"]["properties"]["env"]["default"] = {
            "AWS_ACCESS_KEY_ID": f"{{{{ {BLOCK}.aws_access_key_id }}}}",
            "AWS_SECRET_ACCESS_KEY": f"{{{{ {BLOCK}.aws_secret_access_key }}}}",
        }
        up.ask("PATCH", "/work_pools/hearth", {"base_job_template": template})
        before = len(aws.calls)
        document = pdfs.written(tmp_path / "letter.pdf", "One.")
        job = {"document": str(document), "output": f"s3://{BUCKET}/results"}
        run = up.ended(up.run("process-document/on-demand", job=job))
        assert run["state_name"] == "Completed"
        logs = up.post("/logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}}, limit=200)
        shown = json.dumps([run, logs, up.get("/work_pools/hearth"), up.deployment("process-document/on-demand")])
    assert len(keys(s3)) == 3
    signed = [call.headers["authorization"] for call in aws.calls[before:] if "authorization" in call.headers]
    assert signed
    assert all(f"Credential={KEY}/" in each for each in signed)
    assert SECRET not in shown
    assert KEY not in shown

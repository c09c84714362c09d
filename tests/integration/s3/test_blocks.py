"""Results in an S3 bucket block of prefect-aws, with the credentials and the endpoint of the block only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.prefect.test_named_blocks import run
from tests.support import pdfs
from tests.support.aws.buckets import BUCKET, body, keys, make_bucket
from tests.support.aws.front import AwsFront
from tests.support.aws.wire import REGION
from tests.support.commands import Hearth

pytestmark = pytest.mark.long("runs the command with S3: 15 s")

KEY, SECRET = "AKIATHEBLOCKSOWNKEY1", "the-block's-own-secret"


def test_results_are_stored_in_the_blocks_bucket_with_its_credentials(
    hearth: Hearth, prefect, aws: AwsFront, tmp_path: Path
):
    s3: Any = make_bucket(aws)
    before = len(aws.calls)
    clean = {name: value for name, value in hearth.environment.items() if not name.startswith("AWS_")}
    credentials = {
        "aws_access_key_id": KEY,
        "aws_secret_access_key": SECRET,
        "region_name": REGION,
        "aws_client_parameters": {"endpoint_url": aws.url},
    }
    state, told = run(
        Hearth(hearth.directory, clean),
        buckets={"papers": {"bucket_name": BUCKET, "bucket_folder": "team/results", "credentials": credentials}},
        job={"document": str(pdfs.written(tmp_path / "letter.pdf", "One.")), "output_block": "s3-bucket/papers"},
    )
    assert state == "Completed", told
    found = keys(s3)
    (folder,) = {key.split("/")[2] for key in found}
    assert found == {f"team/results/{folder}/{name}" for name in ("document.md", "manifest.json", "pages/0001.json")}
    manifest = json.loads(body(s3, f"team/results/{folder}/manifest.json"))
    assert manifest["output"] == f"s3://{BUCKET}/team/results/{folder}"

    signed = [call.headers["authorization"] for call in aws.calls[before:] if "authorization" in call.headers]
    assert signed
    assert all(f"Credential={KEY}/" in each for each in signed)
    (flow_run,) = prefect("flow_runs", flow_runs={"id": {"any_": [manifest["flow_run_id"]]}})
    logs = prefect("logs", logs={"flow_run_id": {"any_": [flow_run["id"]]}}, limit=200)
    everything = told + json.dumps([flow_run, logs]) + "".join(body(s3, key).decode() for key in found)
    assert KEY not in everything
    assert SECRET not in everything

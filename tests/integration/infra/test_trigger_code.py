"""The code in the template, in a process that has nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from infra_scripts.trigger.upload_trigger import template
from tests.integration.infra.trigger_calls import AWS, VARIABLES, failed
from tests.support.infra.linted import decode
from tests.support.infra.trigger_events import (
    bridged,
    queued,
)

pytestmark = pytest.mark.usefixtures("variables")
ENDPOINTS = ("AWS_ENDPOINT_URL_ECS", "AWS_ENDPOINT_URL_DYNAMODB")


LAMBDA_LIKE = """
import json, sys, index
class Context:
    aws_request_id = "1"
    def get_remaining_time_in_millis(self): return 90_000
print(json.dumps(index.handler(json.load(sys.stdin), Context())))
"""


def test_the_templates_own_code_works_in_a_process_that_has_nothing_else(tasks, tmp_path: Path):
    """LAMBDA-LIKE: the code as CloudFormation ships it, alone in a directory, with boto3 as the only library."""
    parsed, errors = decode(template())
    assert not errors
    properties = parsed["Resources"]["Function"]["Properties"]
    (tmp_path / "index.py").write_text(properties["Code"]["ZipFile"])
    assert properties["Handler"] == "index.handler"
    given = set(properties["Environment"]["Variables"])
    variables = {name: value for name, value in VARIABLES.items() if name in given}
    path = f"{tmp_path}:{Path(boto3.__file__).parents[1]}"
    done = subprocess.run(
        [sys.executable, "-S", "-c", LAMBDA_LIKE],
        input=json.dumps(queued(bridged("a.pdf"), "{")),
        env={**variables, **AWS, "PYTHONPATH": path, **{name: os.environ[name] for name in ENDPOINTS}},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert failed(json.loads(done.stdout)) == ["m1"]
    assert tasks.commands[0][:2] == ["batch", "s3://inbox/a.pdf"]

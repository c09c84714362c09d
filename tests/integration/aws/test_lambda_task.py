"""An upload is read by the very command that the function gives its task, in the entry point of the template.

SIMULATED: S3 and EC2 by moto, ECS by this test, which starts the container's command as a process on this machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra_scripts.trigger import handler as trigger
from infra_scripts.trigger.upload_trigger import template
from tests.support.aws.buckets import BUCKET, body, keys, make_bucket
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.plan import Plan
from tests.support.aws.reading import paper
from tests.support.aws.tables import make_table
from tests.support.commands import Hearth
from tests.support.infra.linted import decode
from tests.support.infra.trigger_events import Call, Tasks, bridged, queued, stand_in
from tests.support.prefect_home import seed

OUTPUT = f"s3://{BUCKET}/results"
PAGES = 12


def ran(command: list[str], hearth: Hearth, directory: Path) -> subprocess.CompletedProcess[str]:
    """The container, with the template's entry point and environment; its home is the test's, not /tmp/hearth."""
    parsed, errors = decode(template())
    assert not errors
    (container,) = parsed["Resources"]["Task"]["Properties"]["ContainerDefinitions"]
    entry = ["100" if part == {"Ref": "MaxSeconds"} else part for part in container["EntryPoint"]]
    values = {
        "Ref Pool": "default",
        "Ref AWS::Region": "us-east-1",
        "Fn::Sub s3://${OutputBucket}/${OutputPrefix}": OUTPUT,
    }
    given = {each["Name"]: each["Value"] for each in container["Environment"]}
    given |= {name: values[" ".join(*value.items())] for name, value in given.items() if isinstance(value, dict)}
    own = {"HEARTH_HOME": str(directory / "home"), "PREFECT_HOME": str(seed(directory / "prefect"))}
    path = f"{Path(sys.executable).parent}:{hearth.environment['PATH']}"
    own_settings = {name: value for name, value in hearth.environment.items() if name != "HEARTH_BACKEND"}
    return subprocess.run(
        [*entry, *command],
        cwd=directory,
        env={**own_settings, **given, **own, "PATH": path},
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def started(aws: AwsFront, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What the function asks of ECS when it is told of an upload."""
    s3 = make_bucket(aws)
    s3.upload_file(str(paper(tmp_path, PAGES, "letter")), BUCKET, "inbox/letter.pdf")
    make_table(boto3.client("dynamodb"), "started")
    variables = {
        **{"HEARTH_BUCKET": BUCKET, "HEARTH_PREFIX": "inbox/", "HEARTH_OUTPUT": OUTPUT, "HEARTH_TABLE": "started"},
        **{
            "HEARTH_OPTIONS": f"--output {OUTPUT} --backend ec2 --max-usd 5 --max-minutes 10 --must-finish",
            "HEARTH_RUN_TASK": '{"taskDefinition": "a"}',
        },
    }
    made = Tasks()
    trigger.client.cache_clear()
    with monkeypatch.context() as function, stand_in(made) as ecs:
        for name, value in {**variables, "AWS_ENDPOINT_URL_ECS": ecs.url}.items():
            function.setenv(name, value)
        event = bridged("inbox/letter.pdf")
        event["detail"]["bucket"]["name"] = BUCKET
        assert trigger.handler(queued(event), Call()) == {"batchItemFailures": []}
    return made.started


@pytest.mark.long("launches a machine for a task of Lambda's")
def test_the_task_of_an_upload_reads_it_and_leaves_no_machine(
    ec2: Hearth, aws: AwsFront, machines: Machines, started: list[dict[str, Any]], tmp_path: Path
):
    machines.plan = Plan(boot_s=1)
    (asked,) = started
    (container,) = asked["overrides"]["containerOverrides"]
    done = ran(container["command"], ec2, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    s3 = aws.behind("s3")
    (manifest,) = [key for key in keys(s3, "results/letter-") if key.endswith("manifest.json")]
    assert [page["status"] for page in json.loads(body(s3, manifest))["pages"]] == ["read"] * PAGES
    assert len(machines.instances()) == 1
    machines.wait(lambda: machines.running() == [])

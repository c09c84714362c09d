"""The job template of an ECS work pool, accepted by a real Prefect server; no task is started, for lack of AWS."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from infra_scripts.common.errors import RequestError
from infra_scripts.worker.ecs import job_template
from tests.support.commands import ROOT, Hearth, PrefectServer

pytestmark = pytest.mark.long("starts Prefect for its own template: 12 s in all")

ROLE = "arn:aws:iam::123456789012:role"
OPTIONS = {
    "--image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/hearth:1",
    "--cluster": "flows",
    "--task-role": f"{ROLE}/hearth-run",
    "--execution-role": f"{ROLE}/hearth-execution",
    "--vpc": "vpc-1",
    "--subnet": "subnet-1",
    "--security-group": "sg-1",
    "--env": "HEARTH_OUTPUT=s3://papers/results",
}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    command = [sys.executable, "-m", "infra_scripts.worker.ecs", *(each for pair in OPTIONS.items() for each in pair)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def api(prefect: PrefectServer) -> str:
    return prefect.api


def test_the_template_is_that_of_prefect_aws_with_hearths_defaults(template: dict[str, Any]):
    from prefect_aws.workers.ecs_worker import ECSWorker

    own = ECSWorker.get_default_base_job_template()
    assert template["job_configuration"] == own["job_configuration"]
    variables = template["variables"]["properties"]
    assert variables.keys() == own["variables"]["properties"].keys()
    assert variables["task_role_arn"]["default"] == f"{ROLE}/hearth-run"
    assert variables["env"]["default"] == {"HEARTH_OUTPUT": "s3://papers/results"}
    network = {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}
    assert variables["network_configuration"]["default"] == {"awsvpcConfiguration": network}


async def test_the_ecs_worker_creates_a_task_that_runs_the_flow(api: str, template: dict[str, Any]):
    """The task definition of the worker has the image, the command and the roles in the right fields."""
    from prefect.client.schemas.objects import FlowRun
    from prefect_aws.workers.ecs_worker import ECSJobConfiguration

    with temporary_settings({PREFECT_API_URL: api}):
        configuration = await ECSJobConfiguration.from_template_and_values(template, {"working_dir": "."})
    configuration.prepare_for_flow_run(FlowRun.model_construct(name="paper", id=None, flow_id=None, labels={}))
    (container,) = configuration.task_definition["containerDefinitions"]
    request = configuration.task_run_request
    assert container["image"] == OPTIONS["--image"]
    assert (configuration.task_definition["cpu"], configuration.task_definition["memory"]) == (2048, 4096)
    assert configuration.task_definition["executionRoleArn"] == f"{ROLE}/hearth-execution"
    assert request["overrides"]["taskRoleArn"] == f"{ROLE}/hearth-run"
    assert (request["launchType"], request["cluster"]) == ("FARGATE", "flows")
    assert configuration.command is not None
    assert "prefect" in configuration.command
    assert configuration.env["HEARTH_OUTPUT"] == "s3://papers/results"


@pytest.mark.long("starts a Prefect server and deploys all: 23 s")
def test_a_server_accepts_the_template_and_every_deployment_fits_it(
    hearth: Hearth, api: str, prefect: PrefectServer, template: dict[str, Any]
):
    if prefect("work_pools", work_pools={"name": {"any_": ["hearth"]}}):
        prefect.ask("DELETE", "work_pools/hearth")  # another test's, of another type
    prefect.ask("POST", "work_pools/", json={"name": "hearth", "type": "ecs", "base_job_template": template})
    try:
        command = [sys.executable, "-P", "-m", "prefect", "--no-prompt", "deploy", "--all"]
        environment = {**hearth.environment, "PREFECT_API_URL": api}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        ours = [each for each in prefect("deployments") if each["work_pool_name"] == "hearth"]
        assert len(ours) == 6
        for each in ours:
            prefect.ask("DELETE", f"deployments/{each['id']}")
    finally:
        prefect.ask("DELETE", "work_pools/hearth")


def test_another_version_without_a_variable_is_reported(monkeypatch: pytest.MonkeyPatch):
    from prefect_aws.workers.ecs_worker import ECSWorker

    def without_roles() -> dict[str, Any]:
        return {"variables": {"properties": {"image": {}}}}

    monkeypatch.setattr(ECSWorker, "get_default_base_job_template", without_roles)
    with pytest.raises(RequestError, match="has no cluster, configure_cloudwatch_logs, cpu"):
        job_template({"image": "i", "cpu": 1, "configure_cloudwatch_logs": True, "cluster": "c"})

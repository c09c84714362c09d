"""The setting that says how a new machine comes by its model: in template, user data and plan."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from flows.stacks.registry import StackName, open_deployment
from infra_scripts.common.deployment import Options, StackPlan
from infra_scripts.ec2.template import parameters, template
from infra_scripts.ec2.user_data import (
    MAX_USER_DATA_BYTES,
    config_digest,
    machine_environment,
    ollama_environment,
    user_data,
)
from tasks.settings.ec2 import Ec2Settings, Ec2StackSettings, ModelDisk
from tasks.settings.settings import Settings
from tests.support.infra.linted import decode, lint
from tests.support.infra.pools import pool


def files(**changed: Any) -> set[str]:
    config = gzip.decompress(base64.b64decode(user_data(pool(**changed)))).decode()
    (command,) = json.loads(config.partition("\n")[2])["bootcmd"]
    return {argument for argument in command if argument.startswith("/")}


def planned(**changed: Any) -> StackPlan:
    settings = Settings(ec2=Ec2Settings(types=("g4dn.xlarge",)), ec2_stack=Ec2StackSettings(**changed))
    return open_deployment(StackName.EC2, settings, Options(allow_from=("10.0.0.0/16",)), "us-east-1").plan()


@pytest.mark.parametrize(("how", "rate"), [("prefetch", "0"), ("provisioned", "300"), ("instance_store", "0")])
def test_the_rate_is_asked_of_ebs_only_where_it_is_paid_for(how: str, rate: str):
    stack = pool(model_disk=how)
    given = parameters(stack, vpc="vpc-1", subnets=("subnet-1",), ami="ami-1")
    assert given["InitializationRate"] == rate
    parsed, _ = decode(template(stack))
    (disk,) = parsed["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["BlockDeviceMappings"]
    wanted = {"Fn::If": ["Provisioned", {"Ref": "InitializationRate"}, {"Ref": "AWS::NoValue"}]}
    assert disk["Ebs"]["VolumeInitializationRate"] == wanted
    assert not lint(template(stack), "us-east-1")


def test_machines_that_differ_by_it_are_of_another_config():
    assert len({config_digest(pool(model_disk=how)) for how in ModelDisk}) == len(ModelDisk)


@pytest.mark.parametrize(
    ("how", "script"), [("prefetch", "prefetch"), ("provisioned", "prefetch"), ("instance_store", "instance-store")]
)
def test_a_machine_carries_the_script_that_it_runs(how: str, script: str):
    scripts = files(model_disk=how) & {"/opt/hearth/prefetch.sh", "/opt/hearth/instance-store.sh"}
    assert scripts == {f"/opt/hearth/{script}.sh"}
    assert machine_environment(pool(model_disk=how))["HEARTH_MODEL_DISK"] == how


def test_ollama_looks_on_the_instance_store_only_where_the_model_is_there():
    assert ollama_environment(pool(model_disk="instance_store"))["OLLAMA_MODELS"] == "/opt/hearth/models"
    assert "OLLAMA_MODELS" not in ollama_environment(pool())


@pytest.mark.parametrize("how", ModelDisk)
def test_the_largest_user_data_fits(how: str):
    assert (
        len(base64.b64decode(user_data(pool(access="token", metrics=True, model_disk=how)))) < MAX_USER_DATA_BYTES * 0.9
    )


def test_the_plan_says_what_initialization_costs_at_each_launch():
    (row,) = [row for row in planned(model_disk="provisioned").rows if row.what == "initialization"]
    assert row.cost == "USD 0.36 a launch at most"
    assert not [row for row in planned().rows if row.what == "initialization"]


def test_the_plan_says_that_more_throughput_than_the_types_take_is_not_bought():
    found = planned(disk_throughput=1000)
    assert "Disks get 437 MB/s instead of 1000: no instance type of the pool supports more." in found.notes
    assert found.costs == planned().costs

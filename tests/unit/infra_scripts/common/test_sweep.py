"""What always runs: in both stacks a schedule calls a function, whose code is the file that the tests run."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest

from infra_scripts.ec2.template import parameters
from infra_scripts.ec2.template import template as ec2
from infra_scripts.ecs.service import template as ecs
from tests.support.infra.linted import decode
from tests.support.infra.pools import pool
from tests.support.infra.services import service

STACKS = Path(__file__).parents[4] / "infra_scripts"


@pytest.fixture(params=["ec2", "ecs"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def resources(name: str) -> dict[str, Any]:
    parsed, errors = decode(ec2(pool()) if name == "ec2" else ecs(service()))
    assert not errors
    found: dict[str, Any] = {key: one["Properties"] for key, one in parsed["Resources"].items()}
    assert not any("Condition" in one for key, one in parsed["Resources"].items() if "Sweep" in key)
    return found


def test_a_schedule_calls_it_every_five_minutes(resources: dict[str, Any]):
    schedule = resources["Schedule"]
    assert schedule["ScheduleExpression"] == "rate(5 minutes)"
    assert schedule["Target"]["Arn"] == {"Fn::GetAtt": ["Sweep", "Arn"]}
    (call,) = resources["ScheduleRole"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert (call["Action"], call["Resource"]) == ("lambda:InvokeFunction", {"Fn::GetAtt": ["Sweep", "Arn"]})


def test_its_code_is_the_file_and_needs_nothing_but_boto3(name: str, resources: dict[str, Any]):
    text = (STACKS / name / "sweep.py").read_text()
    assert resources["Sweep"]["Code"]["ZipFile"] == text
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert {each.partition(".")[0] for each in imported} <= sys.stdlib_module_names | {"boto3", "botocore"}


def test_it_is_told_what_it_asks_its_environment_for(name: str, resources: dict[str, Any]):
    text = (STACKS / name / "sweep.py").read_text()
    asked = {part.partition('"')[0] for part in text.split('os.environ["')[1:]}
    assert asked == set(resources["Sweep"]["Environment"]["Variables"])


def test_what_it_changes_is_held_to_the_stack(resources: dict[str, Any]):
    for statement in resources["SweepPolicy"]["PolicyDocument"]["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        looks = all(action.split(":")[1].startswith(("Describe", "Get")) for action in actions)
        assert looks or (statement["Resource"] != "*")


def test_a_stopped_machine_is_kept_as_long_as_the_pool_says():
    given = parameters(pool(terminate_hours=2.5), vpc="vpc-1", subnets=("subnet-1",), ami="ami-1")
    assert given["TerminateHours"] == "2.5"

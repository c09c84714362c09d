"""The roles of stacks, asked as AWS asks them: what a function, a machine and a task may do, and what not."""

from __future__ import annotations

import pytest

from infra_scripts.iam.need import Permission
from tasks.settings.trigger import TriggerSettings
from tests.support.iam.evaluation import allows
from tests.support.infra.deployments import ACCOUNT, resources

TASK = f"arn:aws:ecs:us-east-1:{ACCOUNT}:task/hearth-default-lambda/0123456789abcdef"


def function_allows(asked: Permission, form: str = "lambda-tasks") -> bool:
    (role,) = [each for each in resources(form) if each.logical == "FunctionRole"]
    return allows([entry["PolicyDocument"] for entry in role.properties["Policies"]], asked)


def test_the_function_may_tag_the_tasks_that_it_starts():
    """RunTask with tags is asked for ecs:TagResource, too: see ECS's guide on tagging."""
    assert function_allows(Permission("ecs:TagResource", TASK, {"ecs:CreateAction": ("RunTask",)}))


@pytest.mark.parametrize(
    "asked",
    [
        Permission("ecs:TagResource", TASK),
        Permission("ecs:TagResource", TASK, {"ecs:CreateAction": ("CreateService",)}),
        Permission("ecs:TagResource", TASK.replace("default", "other"), {"ecs:CreateAction": ("RunTask",)}),
    ],
    ids=["later", "of a service", "of another pool"],
)
def test_it_may_tag_nothing_else(asked: Permission):
    assert not function_allows(asked)


def test_a_function_that_asks_prefect_starts_no_task():
    cluster = {"ecs:cluster": (f"arn:aws:ecs:us-east-1:{ACCOUNT}:cluster/hearth-default-lambda",)}
    definition = f"arn:aws:ecs:us-east-1:{ACCOUNT}:task-definition/hearth-default-lambda:1"
    assert function_allows(Permission("ecs:RunTask", definition, cluster))
    assert not function_allows(Permission("ecs:RunTask", definition, cluster), "lambda-prefect")


def test_no_concurrency_is_reserved_unless_it_was_asked_for():
    """An account with 10 Lambdas at once, as new ones have, can reserve none: the stack would be rolled back."""
    assert TriggerSettings().reserved_concurrency == 0
    reserved = {
        form: next(each for each in resources(form) if each.logical == "Function").properties.get(
            "ReservedConcurrentExecutions"
        )
        for form in ("lambda-tasks", "lambda-reserving")
    }
    assert reserved == {"lambda-tasks": None, "lambda-reserving": "2"}

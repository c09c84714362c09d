"""The Lambda function's environment, and the tasks that it starts."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from infra_scripts.trigger import handler as trigger
from tests.integration.infra.trigger_calls import AWS, VARIABLES, one_after_another
from tests.support.aws.tables import make_table
from tests.support.infra.trigger_events import (
    Tasks,
    stand_in,
)


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in (VARIABLES | AWS).items():
        monkeypatch.setenv(name, value)
    trigger.prefect_secret.cache_clear()
    trigger.client.cache_clear()
    return monkeypatch


@pytest.fixture
def tasks(variables: pytest.MonkeyPatch, moto_url: str) -> Iterator[Tasks]:
    """Of ECS; what was started is noted in moto's DynamoDB."""
    made = Tasks()
    variables.setenv("AWS_ENDPOINT_URL_DYNAMODB", moto_url)
    make_table(boto3.client("dynamodb"), "started")
    with stand_in(made) as server:
        variables.setenv("AWS_ENDPOINT_URL_ECS", server.url)
        one_after_another(trigger.client("dynamodb"))
        trigger.client("ecs")  # here, as boto3 must not make two at once; each of Lambda's processes has one thread
        yield made
    boto3.client("dynamodb").delete_table(TableName="started")

"""The Lambda function creates runs on a Prefect server, over real HTTP."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from infra_scripts.trigger.handler import Arrived, generation_key, handler, run_key
from tests.integration.infra.trigger_calls import OUTPUT, failed
from tests.support.infra.trigger_events import (
    Call,
    StandIn,
    bridged,
    queued,
    stand_in,
)

pytestmark = pytest.mark.usefixtures("variables")
KEY = "pnu_a-secret-key"


def prefect_answers(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """STAND-IN for the two routes of Prefect's API that the function uses; the real one: tests/integration/prefect."""
    del body
    return (200, {"id": "d1"}) if "/name/" in path else (201, {"id": "r1"})


@pytest.fixture
def prefect(variables: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with stand_in(prefect_answers) as server:
        variables.setenv("PREFECT_API_URL", f"{server.url}/api")
        yield server


class TestPrefect:
    def test_a_run_has_a_key_of_the_version_and_no_name(self, prefect):
        assert failed(handler(queued(bridged("a b.pdf")), Call())) == []
        (look, create) = prefect.asked
        assert look[:2] == ("GET", "/api/deployments/name/process-document/on-demand")
        assert create[:2] == ("POST", "/api/deployments/d1/create_flow_run")
        content = Arrived("inbox", "a b.pdf", "v1").content
        assert create[3] == {
            "parameters": {"job": {"document": "s3://inbox/a b.pdf", "output": OUTPUT}},
            "state": {"type": "SCHEDULED"},
            "idempotency_key": generation_key(run_key(content, {"output": OUTPUT}), 0),
        }

    @pytest.mark.parametrize("status", [401, 404, 422, 500, 503])
    def test_a_refused_request_is_sent_once_and_the_event_returns(self, prefect, status):
        prefect.answers = lambda path, _: (200, {"id": "d1"}) if "/name/" in path else (status, {"detail": "x"})
        assert failed(handler(queued(bridged("a.pdf"), bridged("b.pdf")), Call())) == ["m0", "m1"]
        assert [path.rpartition("/")[2] for _, path, _, _ in prefect.asked] == ["on-demand", *["create_flow_run"] * 2]

    def test_a_refused_request_does_not_affect_the_others(self, prefect):
        def answers(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            bad = body and "b.pdf" in body["parameters"]["job"]["document"]
            return (503, {}) if bad else prefect_answers(path, body)

        prefect.answers = answers
        assert failed(handler(queued(*(bridged(f"{name}.pdf") for name in "abc")), Call())) == ["m1"]

    @pytest.mark.parametrize("told", [{}, [], None, {"detail": "x"}], ids=str)
    def test_an_invalid_response_does_not_affect_the_others(self, prefect, told):
        def answers(path: str, body: dict[str, Any]) -> tuple[int, Any]:
            bad = body and "b.pdf" in body["parameters"]["job"]["document"]
            return (201, told) if bad else prefect_answers(path, body)

        prefect.answers = answers
        assert failed(handler(queued(*(bridged(f"{name}.pdf") for name in "abc")), Call())) == ["m1"]

    def test_an_unreachable_prefect_returns_all_events(self, variables):
        variables.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
        assert failed(handler(queued(bridged("a.pdf")), Call())) == ["m0"]

    def test_the_key_is_sent_and_never_logged(self, prefect, variables, caplog, moto_url):
        variables.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", moto_url)
        secrets = boto3.client("secretsmanager")
        arn = secrets.create_secret(Name=f"prefect-{os.urandom(4).hex()}", SecretString=KEY)["ARN"]
        variables.setenv("HEARTH_PREFECT_SECRET", arn)
        with caplog.at_level(logging.DEBUG):
            assert failed(handler(queued(bridged("a.pdf")), Call())) == []
            prefect.answers = lambda *_: (401, {"detail": f"{KEY} is not welcome"})
            assert failed(handler(queued(bridged("b.pdf")), Call())) == ["m0"]
        assert prefect.asked[0][2]["Authorization"] == f"Bearer {KEY}"
        hearths = [record.getMessage() for record in caplog.records if record.name == "hearth.trigger"]
        assert hearths
        assert KEY not in " ".join(hearths)

    def test_a_refused_key_is_fetched_again(self, prefect, variables, moto_url):
        variables.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", moto_url)
        secrets = boto3.client("secretsmanager")
        arn = secrets.create_secret(Name=f"prefect-{os.urandom(4).hex()}", SecretString="old")["ARN"]
        variables.setenv("HEARTH_PREFECT_SECRET", arn)
        prefect.answers = lambda *_: (401, {})
        handler(queued(bridged("a.pdf")), Call())
        secrets.put_secret_value(SecretId=arn, SecretString=KEY)
        prefect.answers = prefect_answers
        handler(queued(bridged("a.pdf")), Call())
        assert prefect.asked[-1][2]["Authorization"] == f"Bearer {KEY}"

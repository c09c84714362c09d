"""The Lambda function, called as Lambda calls it: with real event documents, over real HTTP, and in a bare process."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.httpsession import URLLib3Session
from botocore.validate import validate_parameters
from cfnlint import decode

from infra_scripts.trigger import handler as trigger
from infra_scripts.trigger.handler import Arrived, TriggerError, arrivals, generation_key, handler, run_key
from infra_scripts.trigger.upload_trigger import template
from tests.support.aws.tables import make_table
from tests.support.infra.trigger_events import (
    Answer,
    Call,
    StandIn,
    Tasks,
    bridged,
    notified,
    queued,
    stand_in,
    stopped,
)

OUTPUT = "s3://inbox/results"
VARIABLES = {
    "HEARTH_BUCKET": "inbox",
    "HEARTH_PREFIX": "",
    "HEARTH_OUTPUT": OUTPUT,
    "HEARTH_DEPLOYMENT": "process-document/on-demand",
    "HEARTH_TABLE": "started",
    "HEARTH_RUN_TASK": '{"cluster": "hearth-default-lambda", "taskDefinition": "hearth-default-lambda:1"}',
    "HEARTH_OPTIONS": f"--output {OUTPUT} --backend ec2 --max-usd 5 --max-minutes 120",
}
AWS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
ENDPOINTS = ("AWS_ENDPOINT_URL_ECS", "AWS_ENDPOINT_URL_DYNAMODB")
KEY = "pnu_a-secret-key"


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in (VARIABLES | AWS).items():
        monkeypatch.setenv(name, value)
    trigger._secret.cache_clear()
    trigger._client.cache_clear()
    return monkeypatch


def one_after_another(client: Any) -> None:
    """SIMULATED: DynamoDB's transactions are whole; moto's are seen, and undone, in the middle of others.

    As tests/support/aws/serial.py has it, for those that are not behind the front.
    """
    turn, wire = threading.Lock(), URLLib3Session()

    def send(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        with turn:
            return wire.send(request)

    client.meta.events.register("before-send.dynamodb", send)


@pytest.fixture
def tasks(variables: pytest.MonkeyPatch, moto_url: str) -> Iterator[Tasks]:
    """Of ECS; what was started is noted in moto's DynamoDB."""
    made = Tasks()
    variables.setenv("AWS_ENDPOINT_URL_DYNAMODB", moto_url)
    make_table(boto3.client("dynamodb"), "started")
    with stand_in(made) as server:
        variables.setenv("AWS_ENDPOINT_URL_ECS", server.url)
        one_after_another(trigger._client("dynamodb"))
        trigger._client("ecs")  # here, as boto3 must not make two at once; each of Lambda's processes has one thread
        yield made
    boto3.client("dynamodb").delete_table(TableName="started")


def prefect_answers(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """STAND-IN for the two routes of Prefect's API that the function uses; the real one: tests/integration/prefect."""
    del body
    return (200, {"id": "d1"}) if "/name/" in path else (201, {"id": "r1"})


@pytest.fixture
def prefect(variables: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with stand_in(prefect_answers) as server:
        variables.setenv("PREFECT_API_URL", f"{server.url}/api")
        yield server


def failed(answer: dict[str, Any]) -> list[str]:
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def read(tasks: Tasks) -> list[list[str]]:
    """The documents of each task that was started."""
    return [[each for each in command if each.endswith(".pdf")] for command in tasks.commands]


def documents(event: dict[str, Any]) -> list[str]:
    return [each.document for each in arrivals(event)]


class TestEvents:
    def test_eventbridge_tells_keys_as_they_are(self):
        assert documents(bridged("a b/ü+1%20.pdf")) == ["s3://inbox/a b/ü+1%20.pdf"]

    def test_s3_encodes_them(self):
        keys = ("a b/ü+1%20.pdf", "c.PDF")
        assert documents(notified(*keys)) == [f"s3://inbox/{key}" for key in keys]

    @pytest.mark.parametrize("key", ["a.txt", "folder/", "pdf", "results/a-1/copy.pdf", "a.pdf/"])
    def test_what_is_no_pdf_or_is_hearths_own_is_left_alone(self, key):
        assert documents(bridged(key)) == documents(notified(key)) == []

    def test_so_is_what_lies_elsewhere(self, variables):
        variables.setenv("HEARTH_PREFIX", "in/")
        assert documents(notified("in/a.pdf", "a.pdf")) == ["s3://inbox/in/a.pdf"]
        variables.setenv("HEARTH_BUCKET", "another")
        assert documents(bridged("in/a.pdf")) == []

    def test_so_are_removals_and_the_test_that_s3_sends(self):
        assert documents(notified("a.pdf", event="ObjectRemoved:Delete")) == []
        assert documents({**bridged("a.pdf"), "detail-type": "Object Deleted"}) == []
        assert documents({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "inbox"}) == []

    def test_a_version_is_the_buckets_or_the_etag_with_what_orders_uploads(self):
        def content(event: dict[str, Any]) -> str:
            return next(arrivals(event)).content

        assert content(bridged("a.pdf")) == content(notified("a.pdf")) == "s3://inbox/a.pdf@v1"
        without = content(bridged("a.pdf", None))
        assert without.endswith("@b1946ac92492d2347c6235b4d2611184-00617F08")
        assert content(bridged("a.pdf", None, sequencer="00617F09")) != without
        assert content(notified("a.pdf", version="null")) == content(notified("a.pdf", version=None))

    @pytest.mark.parametrize(
        "event",
        [{}, {"Records": [{}]}, {"detail": {}}, {"Records": None}, {"detail": None}, [], "x", None, 5],
        ids=str,
    )
    def test_what_is_no_event_of_s3_is_said_to_be_none(self, event):
        with pytest.raises(TriggerError, match="no event of S3"):
            list(arrivals(event))


class TestTasks:
    def test_one_task_reads_what_came_together(self, tasks):
        assert failed(handler(queued(bridged("a.pdf"), notified("b c.pdf", "d.pdf")), Call())) == []
        options = VARIABLES["HEARTH_OPTIONS"].split()
        assert tasks.commands == [["batch", "s3://inbox/a.pdf", "s3://inbox/b c.pdf", "s3://inbox/d.pdf", *options]]

    def test_the_same_event_starts_nothing_more(self, tasks):
        for _ in range(3):
            handler(queued(bridged("a.pdf")), Call())
        assert len(tasks.started) == 1

    def test_an_upload_that_comes_again_in_other_company_starts_nothing_more(self, tasks):
        handler(queued(bridged("a.pdf"), bridged("b.pdf")), Call())
        handler(queued(bridged("b.pdf"), bridged("c.pdf")), Call())
        handler(queued(bridged("c.pdf"), bridged("a.pdf")), Call())
        assert read(tasks) == [["s3://inbox/a.pdf", "s3://inbox/b.pdf"], ["s3://inbox/c.pdf"]]

    def test_what_could_not_be_started_is_started_with_those_that_it_came_with(self, tasks):
        tasks.refusal = (500, {"__type": "ServerException", "message": "no"})
        assert failed(handler(queued(bridged("a.pdf"), bridged("b.pdf")), Call())) == ["m0", "m1"]
        tasks.refusal = None
        assert failed(handler(queued(bridged("c.pdf"), bridged("b.pdf")), Call())) == []
        handler(queued(bridged("a.pdf")), Call())
        assert sorted(read(tasks)) == [["s3://inbox/a.pdf", "s3://inbox/b.pdf"], ["s3://inbox/c.pdf"]]

    def test_of_two_calls_at_once_one_takes_an_upload_and_the_others_have_it_come_again(self, tasks):
        events = [queued(bridged("a.pdf"), bridged(f"{number}.pdf")) for number in range(6)]
        with ThreadPoolExecutor(6) as at_once:
            answers = list(at_once.map(lambda event: handler(event, Call()), events))
        for event, answer in zip(events, answers, strict=True):
            if failed(answer):
                assert failed(handler(event, Call())) == []
        assert sorted(chain(*read(tasks))) == sorted(
            {"s3://inbox/a.pdf", *(f"s3://inbox/{number}.pdf" for number in range(6))}
        )

    def test_where_it_cannot_be_known_what_was_started_all_comes_again(self, tasks, variables):
        variables.setenv("HEARTH_TABLE", "no-such-table")
        assert failed(handler(queued(bridged("a.pdf"), bridged("b.pdf")), Call())) == ["m0", "m1"]
        assert not tasks.started

    def test_another_version_is_another_task(self, tasks):
        handler(queued(bridged("a.pdf")), Call())
        handler(queued(bridged("a.pdf", "v2")), Call())
        assert len(tasks.started) == 2

    def test_the_request_is_one_that_ecs_takes(self, tasks):
        handler(queued(bridged("a.pdf")), Call())
        (asked,) = tasks.started
        asked |= json.loads(run_task(decode.decode_str(template())[0]))
        shape = botocore.session.Session().get_service_model("ecs").operation_model("RunTask").input_shape
        validate_parameters(asked, shape)
        assert asked["capacityProviderStrategy"] == [{"capacityProvider": "FARGATE", "weight": 1}]
        assert asked["networkConfiguration"]["awsvpcConfiguration"]["subnets"] == ["subnet-1", "subnet-2"]
        assert len(asked["clientToken"]) <= 64

    def test_a_command_that_would_be_too_long_becomes_several_tasks(self, tasks):
        keys = [f"{'long/' * 100}{number}.pdf" for number in range(40)]
        assert failed(handler(queued(*map(bridged, keys)), Call())) == []
        assert [*chain(*read(tasks))] == [f"s3://inbox/{key}" for key in keys]
        overrides = [len(json.dumps(body["overrides"])) for body in tasks.started]
        assert max(overrides) <= 8192

    def test_more_than_dynamodb_writes_at_once_become_several_tasks_of_small_items(self, tasks):
        assert failed(handler(queued(notified(*(f"{number}.pdf" for number in range(120)))), Call())) == []
        assert [len(keys) for keys in read(tasks)] == [99, 21]
        noted = boto3.client("dynamodb").scan(TableName="started")["Items"]
        claims = [len(json.dumps(item)) for item in noted if "reads" not in item]
        assert len(claims) == 120
        assert max(claims) < 1024  # each byte of it is written for each document, at once

    @pytest.mark.parametrize(
        "refusal",
        [
            (200, {"tasks": [], "failures": [{"reason": "RESOURCE:FARGATE"}]}),
            (200, {}),
            (400, {"__type": "AccessDeniedException", "message": "no"}),
            (400, {"__type": "ConflictException", "message": "it started none", "resourceIds": []}),
            (500, {"__type": "ServerException", "message": "no"}),
        ],
        ids=["no capacity", "nothing said", "denied", "with other settings, refused", "down"],
    )
    def test_what_ecs_refuses_is_asked_for_once_and_comes_again_until_it_starts(self, tasks, refusal: Answer):
        tasks.refusal = refusal
        for times in (1, 2):
            assert failed(handler(queued(bridged("a.pdf"), bridged("b.pdf")), Call())) == ["m0", "m1"]
            assert len(tasks.asked) == times
        tasks.refusal = None
        assert failed(handler(queued(bridged("b.pdf"), bridged("c.pdf")), Call())) == []
        assert sorted(read(tasks)) == [["s3://inbox/a.pdf", "s3://inbox/b.pdf"], ["s3://inbox/c.pdf"]]

    def test_a_task_whose_start_was_not_heard_of_is_started_once(self, tasks):
        tasks.lost = True
        assert failed(handler(queued(bridged("a.pdf")), Call())) == ["m0"]
        tasks.lost = False
        assert failed(handler(queued(bridged("a.pdf")), Call())) == []
        assert len(tasks.started) == 1

    def test_so_it_is_where_the_settings_have_changed_since(self, tasks, variables):
        tasks.lost = True
        handler(queued(bridged("a.pdf")), Call())
        tasks.lost = False
        variables.setenv("HEARTH_OPTIONS", "--max-usd 9")
        assert failed(handler(queued(bridged("a.pdf")), Call())) == []
        assert len(tasks.started) == 1

    def test_what_was_started_is_known_for_longer_than_ecs_knows_its_token(self, tasks):
        handler(queued(bridged("a.pdf")), Call())
        tasks.forget()
        assert failed(handler(queued(bridged("a.pdf"), bridged("b.pdf")), Call())) == []
        assert read(tasks) == [["s3://inbox/a.pdf"], ["s3://inbox/b.pdf"]]

    def test_what_a_failed_task_was_to_read_is_read_anew_when_its_end_is_redriven_however_often(self, tasks):
        handler(queued(bridged("a b.pdf"), bridged("c.pdf")), Call())
        end = stopped(tasks.commands[0])
        for _ in range(3):
            assert failed(handler(queued(end), Call())) == []
        assert tasks.commands[1:] == tasks.commands[:1]
        handler(queued(stopped(tasks.commands[1], number=1)), Call())
        assert tasks.commands[2:] == tasks.commands[:1]

    @pytest.mark.parametrize(
        "body", ["{", '{"no": "event"}', "[]", '"x"', "null", "5", "[" * 100_000], ids=lambda b: b[:9]
    )
    def test_only_the_message_that_makes_no_sense_comes_again(self, tasks, body):
        odd = bridged("b.pdf")
        odd["detail"]["object"]["version-id"] = {"no": "text"}
        assert failed(handler(queued(body, bridged("a.pdf"), odd), Call())) == ["m0"]
        assert read(tasks) == [["s3://inbox/a.pdf", "s3://inbox/b.pdf"]]

    def test_with_little_time_left_nothing_is_begun(self, tasks):
        assert failed(handler(queued(bridged("a.pdf")), Call(left_ms=39_000))) == ["m0"]
        assert not tasks.asked

    def test_a_slow_table_does_not_use_up_the_time(self, tasks):
        """STAND-IN: each look at the clock is 20 s later than the one before."""

        class Slow(Call):
            def get_remaining_time_in_millis(self) -> int:
                self.left_ms -= 20_000
                return self.left_ms

        call = Slow(100_000)
        assert failed(handler(queued(*(bridged(f"{number}.pdf") for number in range(9))), call)) == [
            f"m{number}" for number in range(9)
        ]
        assert call.left_ms == 20_000
        assert not tasks.asked


class TestPrefect:
    def test_a_run_has_the_versions_key_and_no_name(self, prefect):
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
    def test_what_prefect_refuses_is_asked_once_and_comes_again(self, prefect, status):
        prefect.answers = lambda path, _: (200, {"id": "d1"}) if "/name/" in path else (status, {"detail": "x"})
        assert failed(handler(queued(bridged("a.pdf"), bridged("b.pdf")), Call())) == ["m0", "m1"]
        assert [path.rpartition("/")[2] for _, path, _, _ in prefect.asked] == ["on-demand", *["create_flow_run"] * 2]

    def test_the_others_have_their_runs_where_one_is_refused(self, prefect):
        def answers(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            bad = body and "b.pdf" in body["parameters"]["job"]["document"]
            return (503, {}) if bad else prefect_answers(path, body)

        prefect.answers = answers
        assert failed(handler(queued(*(bridged(f"{name}.pdf") for name in "abc")), Call())) == ["m1"]

    @pytest.mark.parametrize("told", [{}, [], None, {"detail": "x"}], ids=str)
    def test_so_they_have_where_one_is_answered_nonsense(self, prefect, told):
        def answers(path: str, body: dict[str, Any]) -> tuple[int, Any]:
            bad = body and "b.pdf" in body["parameters"]["job"]["document"]
            return (201, told) if bad else prefect_answers(path, body)

        prefect.answers = answers
        assert failed(handler(queued(*(bridged(f"{name}.pdf") for name in "abc")), Call())) == ["m1"]

    def test_a_prefect_that_is_away_has_all_come_again(self, variables):
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

    def test_a_key_that_is_refused_is_asked_for_anew(self, prefect, variables, moto_url):
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


def run_task(parsed: dict[str, Any]) -> str:
    """What the template tells the function of its task, with such values as CloudFormation puts in."""
    variables = parsed["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
    given, also = variables["HEARTH_RUN_TASK"]["Fn::Sub"]
    assert also == {"SubnetIds": {"Fn::Join": ['", "', {"Ref": "Subnets"}]}}
    values = {
        **{"Cluster": "hearth-default-lambda", "Task": "arn:aws:ecs:us-east-1:1:task-definition/hearth:1"},
        **{"Capacity": "FARGATE", "SubnetIds": 'subnet-1", "subnet-2', "SecurityGroup.GroupId": "sg-1"},
        "PublicIp": "ENABLED",
    }
    return re.sub(r"\$\{(.+?)\}", lambda name: values[name[1]], given)


LAMBDA_LIKE = """
import json, sys, index
class Context:
    aws_request_id = "1"
    def get_remaining_time_in_millis(self): return 90_000
print(json.dumps(index.handler(json.load(sys.stdin), Context())))
"""


def test_the_templates_own_code_works_in_a_process_that_has_nothing_else(tasks, tmp_path: Path):
    """LAMBDA-LIKE: the code as CloudFormation ships it, alone in a directory, with boto3 as the only library."""
    parsed, errors = decode.decode_str(template())
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

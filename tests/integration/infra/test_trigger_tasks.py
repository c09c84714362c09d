"""The Lambda function starts tasks: called as Lambda calls it, over real HTTP."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.validate import validate_parameters

from infra_scripts.trigger.handler import handler
from infra_scripts.trigger.upload_trigger import template
from tests.integration.infra.trigger_calls import VARIABLES, failed
from tests.support.infra.linted import decode
from tests.support.infra.trigger_events import (
    Answer,
    Call,
    Tasks,
    bridged,
    notified,
    queued,
    stopped,
)

pytestmark = [
    pytest.mark.long("runs the function against a table for each case: 15 s in all"),
    pytest.mark.usefixtures("variables"),
]


def read(tasks: Tasks) -> list[list[str]]:
    """The documents of each task that was started."""
    return [[each for each in command if each.endswith(".pdf")] for command in tasks.commands]


class TestTasks:
    def test_one_task_reads_all_uploads_of_a_call(self, tasks):
        assert failed(handler(queued(bridged("a.pdf"), notified("b c.pdf", "d.pdf")), Call())) == []
        options = VARIABLES["HEARTH_OPTIONS"].split()
        assert tasks.commands == [["batch", "s3://inbox/a.pdf", "s3://inbox/b c.pdf", "s3://inbox/d.pdf", *options]]

    def test_a_repeated_event_starts_no_second_task(self, tasks):
        for _ in range(3):
            handler(queued(bridged("a.pdf")), Call())
        assert len(tasks.started) == 1

    def test_a_repeated_upload_in_another_batch_starts_no_second_task(self, tasks):
        handler(queued(bridged("a.pdf"), bridged("b.pdf")), Call())
        handler(queued(bridged("b.pdf"), bridged("c.pdf")), Call())
        handler(queued(bridged("c.pdf"), bridged("a.pdf")), Call())
        assert read(tasks) == [["s3://inbox/a.pdf", "s3://inbox/b.pdf"], ["s3://inbox/c.pdf"]]

    def test_a_failed_start_is_repeated_with_the_same_uploads(self, tasks):
        tasks.refusal = (500, {"__type": "ServerException", "message": "no"})
        assert failed(handler(queued(bridged("a.pdf"), bridged("b.pdf")), Call())) == ["m0", "m1"]
        tasks.refusal = None
        assert failed(handler(queued(bridged("c.pdf"), bridged("b.pdf")), Call())) == []
        handler(queued(bridged("a.pdf")), Call())
        assert sorted(read(tasks)) == [["s3://inbox/a.pdf", "s3://inbox/b.pdf"], ["s3://inbox/c.pdf"]]

    def test_one_of_two_simultaneous_calls_takes_an_upload_and_the_other_returns_it(self, tasks):
        events = [queued(bridged("a.pdf"), bridged(f"{number}.pdf")) for number in range(6)]
        with ThreadPoolExecutor(6) as at_once:
            answers = list(at_once.map(lambda event: handler(event, Call()), events))
        for event, answer in zip(events, answers, strict=True):
            if failed(answer):
                assert failed(handler(event, Call())) == []
        assert sorted(chain(*read(tasks))) == sorted(
            {"s3://inbox/a.pdf", *(f"s3://inbox/{number}.pdf" for number in range(6))}
        )

    def test_if_it_is_unknown_what_was_started_all_events_return(self, tasks, variables):
        variables.setenv("HEARTH_TABLE", "no-such-table")
        assert failed(handler(queued(bridged("a.pdf"), bridged("b.pdf")), Call())) == ["m0", "m1"]
        assert not tasks.started

    def test_another_version_is_another_task(self, tasks):
        handler(queued(bridged("a.pdf")), Call())
        handler(queued(bridged("a.pdf", "v2")), Call())
        assert len(tasks.started) == 2

    def test_the_request_has_the_format_of_ecs(self, tasks):
        handler(queued(bridged("a.pdf")), Call())
        (asked,) = tasks.started
        asked |= json.loads(run_task(decode(template())[0]))
        shape = botocore.session.Session().get_service_model("ecs").operation_model("RunTask").input_shape
        validate_parameters(asked, shape)
        assert asked["capacityProviderStrategy"] == [{"capacityProvider": "FARGATE", "weight": 1}]
        assert asked["networkConfiguration"]["awsvpcConfiguration"]["subnets"] == ["subnet-1", "subnet-2"]
        assert len(asked["clientToken"]) <= 64

    def test_a_command_that_is_too_long_becomes_several_tasks(self, tasks):
        keys = [f"{'long/' * 100}{number}.pdf" for number in range(40)]
        assert failed(handler(queued(*map(bridged, keys)), Call())) == []
        assert [*chain(*read(tasks))] == [f"s3://inbox/{key}" for key in keys]
        overrides = [len(json.dumps(body["overrides"])) for body in tasks.started]
        assert max(overrides) <= 8192

    def test_uploads_over_the_limit_of_dynamodb_become_several_tasks(self, tasks):
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
    def test_a_start_that_ecs_refuses_is_repeated_with_the_returned_events(self, tasks, refusal: Answer):
        tasks.refusal = refusal
        for times in (1, 2):
            assert failed(handler(queued(bridged("a.pdf"), bridged("b.pdf")), Call())) == ["m0", "m1"]
            assert len(tasks.asked) == times
        tasks.refusal = None
        assert failed(handler(queued(bridged("b.pdf"), bridged("c.pdf")), Call())) == []
        assert sorted(read(tasks)) == [["s3://inbox/a.pdf", "s3://inbox/b.pdf"], ["s3://inbox/c.pdf"]]

    def test_a_task_whose_start_got_no_response_is_started_once(self, tasks):
        tasks.lost = True
        assert failed(handler(queued(bridged("a.pdf")), Call())) == ["m0"]
        tasks.lost = False
        assert failed(handler(queued(bridged("a.pdf")), Call())) == []
        assert len(tasks.started) == 1

    def test_a_start_without_a_response_is_not_repeated_after_a_change_of_settings(self, tasks, variables):
        tasks.lost = True
        handler(queued(bridged("a.pdf")), Call())
        tasks.lost = False
        variables.setenv("HEARTH_OPTIONS", "--max-usd 9")
        assert failed(handler(queued(bridged("a.pdf")), Call())) == []
        assert len(tasks.started) == 1

    def test_started_tasks_are_remembered_longer_than_ecs_knows_their_token(self, tasks):
        handler(queued(bridged("a.pdf")), Call())
        tasks.forget()
        assert failed(handler(queued(bridged("a.pdf"), bridged("b.pdf")), Call())) == []
        assert read(tasks) == [["s3://inbox/a.pdf"], ["s3://inbox/b.pdf"]]

    def test_redriving_the_end_of_a_failed_task_reads_its_uploads_again(self, tasks):
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
    def test_only_an_invalid_message_returns(self, tasks, body):
        odd = bridged("b.pdf")
        odd["detail"]["object"]["version-id"] = {"no": "text"}
        assert failed(handler(queued(body, bridged("a.pdf"), odd), Call())) == ["m0"]
        assert read(tasks) == [["s3://inbox/a.pdf", "s3://inbox/b.pdf"]]

    def test_with_little_time_left_no_task_is_started(self, tasks):
        assert failed(handler(queued(bridged("a.pdf")), Call(left_ms=39_000))) == ["m0"]
        assert not tasks.asked

    def test_a_slow_table_does_not_use_up_the_time_limit(self, tasks):
        """STAND-IN: each call of the clock returns a time 20 s later."""

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

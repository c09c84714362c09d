"""Events as AWS writes them, and a stand-in of the part of ECS that moto has not.

EventBridge's and S3's documents: docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html and
notification-content-structure.html.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote_plus

BUCKET = "inbox"
Answer = tuple[int, dict[str, Any]]


class Call:
    """What Lambda passes beside the event."""

    function_name = "hearth-default-lambda"

    def __init__(self, left_ms: int = 100_000) -> None:
        self.left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        return self.left_ms


def bridged(key: str, version: str | None = "v1", **detail: Any) -> dict[str, Any]:
    """EventBridge's document of an object that was created."""
    told: dict[str, Any] = {"key": key, "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184", "sequencer": "00617F08"}
    if version:
        told["version-id"] = version
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-11-12T00:00:00Z",
        "region": "us-east-1",
        "resources": [f"arn:aws:s3:::{BUCKET}"],
        "detail": {
            "version": "0",
            "bucket": {"name": BUCKET},
            "object": {**told, **detail},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    }


def notified(*keys: str, version: str | None = "v1", event: str = "ObjectCreated:Put") -> dict[str, Any]:
    """S3's own notification, a record for each object, keys encoded."""

    def told(key: str) -> dict[str, Any]:
        facts = {"key": quote_plus(key), "size": 5, "eTag": "b1946ac92492d2347c6235b4d2611184", "sequencer": "0A1B"}
        return {**facts, **({"versionId": version} if version else {})}

    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "us-east-1",
                "eventTime": "2026-11-12T00:00:00.000Z",
                "eventName": event,
                "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": BUCKET}, "object": told(key)},
            }
            for key in keys
        ]
    }


def task_arn(number: int) -> str:
    """Of a task in the stack's cluster."""
    return f"arn:aws:ecs:us-east-1:111122223333:task/hearth-default-lambda/{number}"


def stopped(command: list[str], number: int = 0, code: int | None = 1, **detail: Any) -> dict[str, Any]:
    """ECS's word of a task that stopped: docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html."""
    container = {"name": "hearth", "lastStatus": "STOPPED", "taskArn": task_arn(number)}
    return {
        "version": "0",
        "id": "3317b2af-7005-947d-b652-f55e762e571a",
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "account": "111122223333",
        "time": "2026-11-12T00:20:00Z",
        "region": "us-east-1",
        "resources": [task_arn(number)],
        "detail": {
            "clusterArn": "arn:aws:ecs:us-east-1:111122223333:cluster/hearth-default-lambda",
            "containers": [container if code is None else {**container, "exitCode": code}],
            "desiredStatus": "STOPPED",
            "lastStatus": "STOPPED",
            "overrides": {"containerOverrides": [{"name": "hearth", "command": command}]},
            "stopCode": "EssentialContainerExited",
            "taskArn": task_arn(number),
            **detail,
        },
    }


def queued(*bodies: dict[str, Any] | str) -> dict[str, Any]:
    """Messages of a queue, m0, m1 and so on."""
    return {
        "Records": [
            {
                "messageId": f"m{number}",
                "receiptHandle": "x",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {"ApproximateReceiveCount": "1"},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:111122223333:hearth-default-lambda",
            }
            for number, body in enumerate(bodies)
        ]
    }


@dataclass
class StandIn:
    """STAND-IN: a real HTTP server that answers as it is told and notes what it was asked.

    Attributes:
        asked: method, path, headers and body of each request.
        answers: makes the answer to a request.
    """

    answers: Callable[[str, dict[str, Any]], Answer]
    asked: list[tuple[str, str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    url: str = ""


@contextmanager
def stand_in(answers: Callable[[str, dict[str, Any]], Answer]) -> Iterator[StandIn]:
    """One on a free port, in a thread."""
    standing = StandIn(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            standing.asked.append((self.command, self.path, dict(self.headers), body))
            status, told = standing.answers(self.path, body)
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if told and "__type" in told:
                self.send_header("x-amzn-errortype", told["__type"])
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST  # noqa: N815 - as the server calls it

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        standing.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield standing
        finally:
            server.shutdown()


class Tasks:
    """STAND-IN for ECS's RunTask, which crashes in moto without instances.

    A token's first answer of 200, a refusal too, is the answer to the same request ever after, and another request with
    it is a conflict: docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html.

    Attributes:
        asked: each request.
        started: those that began a task.
        refusal: answered instead of beginning one.
        lost: whether its answers get lost on their way.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.started: list[dict[str, Any]] = []
        self.refusal: Answer | None = None
        self.lost = False
        self._answered: dict[str, tuple[dict[str, Any], Answer]] = {}

    def __call__(self, _path: str, body: dict[str, Any]) -> Answer:
        self.asked.append(body)
        answer = self._answer(body)
        return (500, {"__type": "ServerException", "message": "lost"}) if self.lost else answer

    def forget(self) -> None:
        """The life of each token is over."""
        self._answered.clear()

    def _answer(self, body: dict[str, Any]) -> Answer:
        token = body["clientToken"]
        if token in self._answered:
            before, answer = self._answered[token]
            arns = [task["taskArn"] for task in answer[1].get("tasks", [])]
            return answer if body == before else (400, {"__type": "ConflictException", "resourceIds": arns})
        answer = self.refusal or (200, {"tasks": [{"taskArn": task_arn(len(self.started))}], "failures": []})
        if self.refusal is None:
            self.started.append(body)
        if answer[0] == 200:
            self._answered[token] = (body, answer)
        return answer

    @property
    def commands(self) -> list[list[str]]:
        return [body["overrides"]["containerOverrides"][0]["command"] for body in self.started]

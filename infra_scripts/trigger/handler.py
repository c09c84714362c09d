"""The Lambda function that turns documents uploaded to S3 into Prefect runs or, without Prefect, into ECS tasks.

It uses only the standard library and boto3, in one file, because CloudFormation ships it inside the template. Its input
are messages of a queue: EventBridge's "Object Created", S3's own notifications, or, after a redrive, ECS's event of a
failed task, whose documents are read again.

Each version of an object is processed once, however many messages name it: by Prefect's idempotency key, or by a table
that assigns each version to one task for good, and ECS's client token. The function does not retry: a failed message
returns to the queue and comes again with the same key, until it becomes a dead letter.
"""

import functools
import hashlib
import json
import logging
import os
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any
from urllib.parse import quote, unquote_plus

_CONNECT_SECONDS, _ANSWER_SECONDS = 5.0, 15.0
# With less time than ECS and the table may take together, nothing is begun: the message comes again instead.
_MIN_SECONDS_LEFT = 2 * (_CONNECT_SECONDS + _ANSWER_SECONDS)
_MAX_OVERRIDES = 8_192  # in characters, by docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
# DynamoDB writes up to 100 items atomically: the task, and these. Each is under 1 KB, two write units, together about
# 230 of the 4,000 that a new table accepts per second.
_MAX_DOCUMENTS = 99
_KEPT_SECONDS = 30 * 86_400  # longer than a message can stay in the queue, as a dead letter, and in the queue again
_log = logging.getLogger("hearth.trigger")
_log.setLevel(logging.INFO)


class TriggerError(Exception):
    """An event is not valid, or its run or task could not be started."""


@dataclass(frozen=True)
class Arrived:
    """A version of a document in S3."""

    bucket: str
    key: str
    version: str
    """The versionId or, without versioning, ETag and sequencer; or the ARN of the task that failed to read it."""

    @property
    def document(self) -> str:
        """The document's URL."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def content(self) -> str:
        """An identifier of the document's bytes."""
        return f"{self.document}@{self.version}"


def run_key(content: str, options: Mapping[str, Any]) -> str:
    """Return the key of equal requests for the same bytes, 64 hex digits. `flows.orchestrator.trigger` uses it, too."""
    return hashlib.sha256(json.dumps([content, options], sort_keys=True).encode()).hexdigest()


def generation_key(key: str, generation: int) -> str:
    """Return Prefect's idempotency key of a request's first run (0), or of a later one that follows a failed run."""
    return f"{key}-{generation}"


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's own class
    """Process a batch of messages, and return the ids of those that have to come again."""
    start = _in_prefect if os.environ.get("PREFECT_API_URL") else _in_tasks
    found: dict[str, list[Arrived]] = {}
    failures: dict[str, str] = {}
    for record in event["Records"]:
        try:
            found[record["messageId"]] = list(arrivals(json.loads(record["body"])))
        except (ValueError, RecursionError, TriggerError) as error:
            failures[record["messageId"]] = f"it is not valid: {error}"
    failures |= start(found, context.get_remaining_time_in_millis)
    for message, why in failures.items():
        _log.error("message %s has to come again: %s", message, why)
    return {"batchItemFailures": [{"itemIdentifier": message} for message in failures]}


def arrivals(event: Mapping[str, Any]) -> Iterator[Arrived]:
    """Yield the documents of an event of EventBridge, S3 or ECS, without other files and Hearth's own output.

    Raises:
        TriggerError: the event is of none of these.
    """
    try:
        if event.get("Event") == "s3:TestEvent":
            return
        for found in _objects(event):
            if _wanted(found):
                yield found
            else:
                _log.info("%s is ignored", found.document)
    except (LookupError, TypeError, AttributeError) as error:
        raise TriggerError(f"not an event of S3: {type(error).__name__} {error}") from None


def _objects(event: Mapping[str, Any]) -> Iterator[Arrived]:
    if "detail" in event:
        kind, detail = event["detail-type"], event["detail"]
        if kind == "Object Created":
            # EventBridge does not encode keys; S3's own notifications do.
            version = _version(detail["object"], "version-id", "etag")
            yield Arrived(detail["bucket"]["name"], detail["object"]["key"], version)
        elif kind == "ECS Task State Change":  # a rule of the stack selects failed tasks
            command = detail["overrides"]["containerOverrides"][0]["command"]
            for document in takewhile(lambda word: word.startswith("s3://"), command[1:]):
                bucket, _, key = document.removeprefix("s3://").partition("/")
                yield Arrived(bucket, key, str(detail["taskArn"]))
        return
    for record in event["Records"]:
        if record["eventName"].startswith(("ObjectCreated:", "s3:ObjectCreated:")):
            bucket, item = record["s3"]["bucket"]["name"], record["s3"]["object"]
            yield Arrived(bucket, unquote_plus(item["key"]), _version(item, "versionId", "eTag"))


def _version(item: Mapping[str, Any], version: str, etag: str) -> str:
    found = item.get(version)
    return str(found) if found and found != "null" else f"{item[etag]}-{item.get('sequencer', '')}"


def _wanted(found: Arrived) -> bool:
    bucket, prefix = os.environ.get("HEARTH_BUCKET"), os.environ.get("HEARTH_PREFIX", "")
    own = os.environ["HEARTH_OUTPUT"].rstrip("/") + "/"
    watched = bucket in {None, found.bucket} and found.key.startswith(prefix)
    suffixes = tuple(os.environ.get("HEARTH_SUFFIXES", ".pdf").split())
    return watched and found.key.lower().endswith(suffixes) and not found.document.startswith(own)


def _check_time(left: Callable[[], int]) -> None:
    if left() < _MIN_SECONDS_LEFT * 1000:
        raise TriggerError("no time is left")


def _in_prefect(found: Mapping[str, list[Arrived]], left: Callable[[], int]) -> dict[str, str]:
    """Start a run for each document; return the messages that have to come again, with the reason."""
    failures: dict[str, str] = {}
    deployment, name, output = "", quote(os.environ["HEARTH_DEPLOYMENT"]), os.environ["HEARTH_OUTPUT"]
    for message, documents in found.items():
        try:
            for each in documents:
                _check_time(left)
                deployment = deployment or call_prefect("GET", f"/deployments/name/{name}")
                # The key finds the run of a request whose response was lost, or was 503 although it was served.
                key = generation_key(run_key(each.content, {"output": output}), 0)
                job = {"document": each.document, "output": output}
                body = {"parameters": {"job": job}, "state": {"type": "SCHEDULED"}, "idempotency_key": key}
                run = call_prefect("POST", f"/deployments/{deployment}/create_flow_run", body)
                _log.info("%s is run %s", each.document, run)
        except Exception as error:  # noqa: BLE001 - after any error the other messages are processed
            failures[message] = _why(error)
    return failures


def call_prefect(method: str, path: str, body: Mapping[str, Any] | None = None) -> str:
    """Call Prefect and return the id in its response. Neither the API key nor an error's body is ever logged."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if secret := os.environ.get("HEARTH_PREFECT_SECRET"):
        headers["Authorization"] = f"Bearer {prefect_secret(secret)}"
    url = os.environ["PREFECT_API_URL"].rstrip("/") + path
    if not url.startswith(("https://", "http://")):
        raise TriggerError("PREFECT_API_URL is not an HTTP address")
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as response:  # noqa: S310
            return str(json.load(response)["id"])
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        if secret and error.code in {401, 403}:
            prefect_secret.cache_clear()  # the secret may have been changed
        raise TriggerError(f"Prefect answers {error.code} to {method} {path}") from None


@functools.cache
def prefect_secret(name: str) -> str:
    """Return the value of the secret with Prefect's API key."""
    return str(client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])


def _in_tasks(found: Mapping[str, list[Arrived]], left: Callable[[], int]) -> dict[str, str]:
    """Start a task for as many documents as fit into its command, so that a machine is started once for all."""
    failures: dict[str, str] = {}
    try:
        tasks = _assign([*dict.fromkeys(each for several in found.values() for each in several)], left)
    except Exception as error:  # noqa: BLE001 - after any error all messages come again
        return dict.fromkeys(found, _why(error))
    for task in dict.fromkeys(tasks.values()):
        try:
            _run_task(task, left)
        except Exception as error:  # noqa: BLE001 - after any error the other tasks are started
            failed = [message for message, several in found.items() if any(tasks[each] == task for each in several)]
            failures |= dict.fromkeys(failed, _why(error))
    return failures


def _assign(documents: list[Arrived], left: Callable[[], int]) -> dict[Arrived, str]:
    """Return the id of each document's task; fail if another call has just assigned one of the documents."""
    tasks: dict[Arrived, str] = {}
    for each, name in (ids := {each: run_key(each.content, {}) for each in documents}).items():
        _check_time(left)
        if item := _item(name):
            tasks[each] = item["task"]["S"]
    forget_at = {"N": str(int(time.time() + _KEPT_SECONDS))}
    once = {"TableName": os.environ["HEARTH_TABLE"], "ConditionExpression": "attribute_not_exists(id)"}
    for together in _grouped([each for each in documents if each not in tasks]):
        _check_time(left)
        task, reads = uuid.uuid4().hex, json.dumps([each.document for each in together])
        items = {task: {"reads": {"S": reads}, "refused": {"S": "0"}}}
        items |= {ids[each]: {"task": {"S": task}} for each in together}
        puts = [{**once, "Item": {"id": {"S": name}, "forget_at": forget_at, **facts}} for name, facts in items.items()]
        client("dynamodb").transact_write_items(TransactItems=[{"Put": put} for put in puts])
        tasks |= dict.fromkeys(together, task)
    return tasks


def _item(name: str) -> dict[str, dict[str, str]]:
    return dict(client("dynamodb").get_item(**_row(name), ConsistentRead=True).get("Item", {}))


def _row(name: str) -> dict[str, Any]:
    return {"TableName": os.environ["HEARTH_TABLE"], "Key": {"id": {"S": name}}}


def _grouped(documents: list[Arrived]) -> Iterator[list[Arrived]]:
    task: list[Arrived] = []
    for each in documents:
        more = [*task, each]
        size = len(json.dumps(_overrides(arrived.document for arrived in more)))
        if task and (len(more) > _MAX_DOCUMENTS or size > _MAX_OVERRIDES):
            yield task
            more = [each]
        task = more
    if task:
        yield task


def _overrides(documents: Iterable[str]) -> dict[str, Any]:
    command = ["batch", *dict.fromkeys(documents), *os.environ["HEARTH_OPTIONS"].split()]
    return {"containerOverrides": [{"name": "hearth", "command": command}]}


def _run_task(task: str, left: Callable[[], int]) -> None:
    """Start a task unless it was started already.

    ECS repeats its first response to a token, even if that was a lack of capacity: a new token is used after a refusal,
    but not after a lost response. A token expires an hour after its task or after a day; the table remembers started
    tasks for longer: docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html.
    """
    _check_time(left)
    item = _item(task)
    if "started" in item:
        return
    ecs, refused, reads = client("ecs"), item["refused"]["S"], json.loads(item["reads"]["S"])
    arguments = {**json.loads(os.environ["HEARTH_RUN_TASK"]), "overrides": _overrides(reads)}
    _check_time(left)
    try:
        response = ecs.run_task(**arguments, clientToken=f"{task}-{refused}")
        started = [each["taskArn"] for each in response.get("tasks", [])]
    except ecs.exceptions.ConflictException as error:  # started before with other settings; the error names the task
        response, started = {}, error.response.get("resourceIds", [])
    what, value = ("started", started[0]) if started else ("refused", str(int(refused) + 1))
    unless_changed = {"ConditionExpression": "refused = :refused", "UpdateExpression": f"SET {what} = :value"}
    values = {":value": {"S": value}, ":refused": {"S": refused}}
    client("dynamodb").update_item(**_row(task), **unless_changed, ExpressionAttributeValues=values)
    if not started:
        reasons = [failure.get("reason") for failure in response.get("failures", [])]
        raise TriggerError(f"ECS starts no task: {reasons}")
    _log.info("task %s reads %d documents", started[0], len(reads))


@functools.cache
def client(service: str) -> Any:  # noqa: ANN401 - boto3's clients have no common type
    """Return a boto3 client, which is created once."""
    import boto3  # part of Lambda's runtime; importing takes a while, and Prefect without a key does not need it
    from botocore.config import Config

    # No retries: the queue delivers a failed message again, and the function's time is short.
    config = Config(connect_timeout=_CONNECT_SECONDS, read_timeout=_ANSWER_SECONDS, retries={"total_max_attempts": 1})
    made: Any = boto3.client
    return made(service, config=config)


def _why(error: Exception) -> str:
    """Return a short reason that contains no values."""
    code = getattr(error, "response", {}).get("Error", {}).get("Code") or type(error).__name__
    return str(error) if isinstance(error, TriggerError) else f"{code} {getattr(error, 'operation_name', '')}".strip()

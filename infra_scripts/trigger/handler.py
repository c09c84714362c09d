"""The Lambda function: PDFs that were put into S3 become runs in Prefect or, without Prefect, one ECS task that ends.

Standard library and boto3 alone, in one file, for CloudFormation ships it inside the template. It is called with
messages of a queue that hold EventBridge's "Object Created" or S3's own notifications, or, once somebody redrives it,
ECS's word of a task that failed: what that was to read is read anew.

What it does for a version of an object it does once however often it is told of it: by Prefect's idempotency key, or by
a table, in which each version belongs to one task for good, whatever it comes with later, and by ECS's client token. It
repeats nothing itself: what failed stays in the queue and comes again with its key, until the dead letters have it.
"""

from __future__ import annotations

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
# With less time than ECS and the table may take together nothing more is begun: it comes again instead.
_LEFT_SECONDS = 2 * (_CONNECT_SECONDS + _ANSWER_SECONDS)
_OVERRIDES = 8_192  # characters that ECS takes: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
# DynamoDB writes 100 items, all or none: the task, and these. Each is under 1 KB and so two units, together some 230 of
# the 4,000 that a new table writes in a second.
_TOGETHER = 99
_KEPT_SECONDS = 30 * 86_400  # longer than a message may lie in the queue, with the dead letters, and in the queue again
_log = logging.getLogger("hearth.trigger")
_log.setLevel(logging.INFO)


class TriggerError(Exception):
    """An event makes no sense, or what it asks for could not be started."""


@dataclass(frozen=True)
class Arrived:
    """A version of a PDF in S3."""

    bucket: str
    key: str
    version: str
    """versionId or, without versions, ETag and sequencer: another upload has another; or the task that failed at it."""

    @property
    def document(self) -> str:
        """Where it is."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def content(self) -> str:
        """Tells its bytes from any others."""
        return f"{self.document}@{self.version}"


def run_key(content: str, options: Mapping[str, Any]) -> str:
    """What requests that ask for the same have in common; 64 hex digits. `flows.orchestrator.trigger` uses it, too.

    Args:
        content: tells the document's bytes from any others.
        options: what is asked of it.
    """
    return hashlib.sha256(json.dumps([content, options], sort_keys=True).encode()).hexdigest()


def generation_key(key: str, generation: int) -> str:
    """Prefect's idempotency key of a request's first run, 0, or of a later one that follows a run that failed."""
    return f"{key}-{generation}"


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's own class
    """Answer a batch of a queue's messages with those that are to come again."""
    start = _in_prefect if os.environ.get("PREFECT_API_URL") else _in_tasks
    found: dict[str, list[Arrived]] = {}
    failures: dict[str, str] = {}
    for record in event["Records"]:
        try:
            found[record["messageId"]] = list(arrivals(json.loads(record["body"])))
        except (ValueError, RecursionError, TriggerError) as error:
            failures[record["messageId"]] = f"it makes no sense: {error}"
    failures |= start(found, context.get_remaining_time_in_millis)
    for message, why in failures.items():
        _log.error("message %s is to come again: %s", message, why)
    return {"batchItemFailures": [{"itemIdentifier": message} for message in failures]}


def arrivals(event: Mapping[str, Any]) -> Iterator[Arrived]:
    """The PDFs that an event of EventBridge or of S3 tells of; others, folders and what Hearth wrote itself are not.

    Raises:
        TriggerError: it is no such event.
    """
    try:
        if event.get("Event") == "s3:TestEvent":
            return
        for found in _objects(event):
            if _wanted(found):
                yield found
            else:
                _log.info("%s is none of ours", found.document)
    except (LookupError, TypeError, AttributeError) as error:
        raise TriggerError(f"no event of S3: {type(error).__name__} {error}") from None


def _objects(event: Mapping[str, Any]) -> Iterator[Arrived]:
    if "detail" in event:
        kind, told = event["detail-type"], event["detail"]
        if kind == "Object Created":
            # EventBridge tells keys as they are; S3's own notifications encode them.
            yield Arrived(told["bucket"]["name"], told["object"]["key"], _version(told["object"], "version-id", "etag"))
        elif kind == "ECS Task State Change":  # of those that failed, by a rule of the stack
            command = told["overrides"]["containerOverrides"][0]["command"]
            for document in takewhile(lambda word: word.startswith("s3://"), command[1:]):
                bucket, _, key = document.removeprefix("s3://").partition("/")
                yield Arrived(bucket, key, str(told["taskArn"]))
        return
    for record in event["Records"]:
        if record["eventName"].startswith(("ObjectCreated:", "s3:ObjectCreated:")):
            bucket, told = record["s3"]["bucket"]["name"], record["s3"]["object"]
            yield Arrived(bucket, unquote_plus(told["key"]), _version(told, "versionId", "eTag"))


def _version(told: Mapping[str, Any], version: str, etag: str) -> str:
    found = told.get(version)
    return str(found) if found and found != "null" else f"{told[etag]}-{told.get('sequencer', '')}"


def _wanted(found: Arrived) -> bool:
    bucket, prefix = os.environ.get("HEARTH_BUCKET"), os.environ.get("HEARTH_PREFIX", "")
    own = os.environ["HEARTH_OUTPUT"].rstrip("/") + "/"
    watched = bucket in {None, found.bucket} and found.key.startswith(prefix)
    return watched and found.key.lower().endswith(".pdf") and not found.document.startswith(own)


def _see_time(left: Callable[[], int]) -> None:
    if left() < _LEFT_SECONDS * 1000:
        raise TriggerError("no time is left")


def _in_prefect(found: Mapping[str, list[Arrived]], left: Callable[[], int]) -> dict[str, str]:
    """A run for each document; why which messages are to come again."""
    failures: dict[str, str] = {}
    deployment, output = "", os.environ["HEARTH_OUTPUT"]
    for message, documents in found.items():
        try:
            for each in documents:
                _see_time(left)
                named = f"/deployments/name/{quote(os.environ['HEARTH_DEPLOYMENT'])}"
                deployment = deployment or _prefect("GET", named)
                # By its key a request whose answer was lost, or was 503 though it was served, is found again.
                key = generation_key(run_key(each.content, {"output": output}), 0)
                job = {"document": each.document, "output": output}
                asked = {"parameters": {"job": job}, "state": {"type": "SCHEDULED"}, "idempotency_key": key}
                run = _prefect("POST", f"/deployments/{deployment}/create_flow_run", asked)
                _log.info("%s is run %s", each.document, run)
        except Exception as error:  # noqa: BLE001 - whatever Prefect or boto3 says, the others have their runs
            failures[message] = _why(error)
    return failures


def _prefect(method: str, path: str, body: Mapping[str, Any] | None = None) -> str:
    """The id that Prefect answers; neither the key nor what Prefect says beside its status is told to anybody."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    secret = os.environ.get("HEARTH_PREFECT_SECRET")
    if secret:
        headers["Authorization"] = f"Bearer {_secret(secret)}"
    url = os.environ["PREFECT_API_URL"].rstrip("/") + path
    if not url.startswith(("https://", "http://")):
        raise TriggerError("PREFECT_API_URL is no address of the web")
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310
            return str(json.load(answer)["id"])
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        if secret and error.code in {401, 403}:
            _secret.cache_clear()  # it may have been changed
        raise TriggerError(f"Prefect answers {error.code} to {method} {path}") from None


@functools.cache
def _secret(name: str) -> str:
    return str(_client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])


def _in_tasks(found: Mapping[str, list[Arrived]], left: Callable[[], int]) -> dict[str, str]:
    """One task for as many documents as fit into its command: a machine is started once for all of them."""
    failures: dict[str, str] = {}
    try:
        tasks = _shared_out([*dict.fromkeys(each for several in found.values() for each in several)], left)
    except Exception as error:  # noqa: BLE001 - whatever boto3 raises, nothing is lost if all come again
        return dict.fromkeys(found, _why(error))
    for task in dict.fromkeys(tasks.values()):
        try:
            _run_task(task, left)
        except Exception as error:  # noqa: BLE001 - whatever boto3 raises, the others are started
            told = [message for message, several in found.items() if any(tasks[each] == task for each in several)]
            failures |= dict.fromkeys(told, _why(error))
    return failures


def _shared_out(documents: list[Arrived], left: Callable[[], int]) -> dict[Arrived, str]:
    """The id of the task that each belongs to; it fails if another call has just taken one of them."""
    tasks: dict[Arrived, str] = {}
    ids = {each: run_key(each.content, {}) for each in documents}
    for each, name in ids.items():
        _see_time(left)
        if known := _noted(name):
            tasks[each] = known["task"]["S"]
    forget_at = {"N": str(int(time.time() + _KEPT_SECONDS))}
    once = {"TableName": os.environ["HEARTH_TABLE"], "ConditionExpression": "attribute_not_exists(id)"}
    for together in _grouped([each for each in documents if each not in tasks]):
        _see_time(left)
        task, reads = uuid.uuid4().hex, json.dumps([each.document for each in together])
        items = {task: {"reads": {"S": reads}, "refused": {"S": "0"}}}
        items |= {ids[each]: {"task": {"S": task}} for each in together}
        puts = [{**once, "Item": {"id": {"S": name}, "forget_at": forget_at, **facts}} for name, facts in items.items()]
        _client("dynamodb").transact_write_items(TransactItems=[{"Put": put} for put in puts])
        tasks |= dict.fromkeys(together, task)
    return tasks


def _noted(name: str) -> dict[str, dict[str, str]]:
    return dict(_client("dynamodb").get_item(**_row(name), ConsistentRead=True).get("Item", {}))


def _row(name: str) -> dict[str, Any]:
    return {"TableName": os.environ["HEARTH_TABLE"], "Key": {"id": {"S": name}}}


def _grouped(documents: list[Arrived]) -> Iterator[list[Arrived]]:
    task: list[Arrived] = []
    for each in documents:
        more = [*task, each]
        if task and (len(more) > _TOGETHER or len(json.dumps(_overrides(one.document for one in more))) > _OVERRIDES):
            yield task
            more = [each]
        task = more
    if task:
        yield task


def _overrides(documents: Iterable[str]) -> dict[str, Any]:
    command = ["batch", *dict.fromkeys(documents), *os.environ["HEARTH_OPTIONS"].split()]
    return {"containerOverrides": [{"name": "hearth", "command": command}]}


def _run_task(task: str, left: Callable[[], int]) -> None:
    """Start it, if it was not.

    For a token ECS repeats its first answer, also that there is no capacity: so each refusal makes another token, and a
    lost answer does not. A token ends an hour after its task, or after a day, and the table knows for longer what was
    started: docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html.
    """
    _see_time(left)
    known = _noted(task)
    if "started" in known:
        return
    ecs, refused, reads = _client("ecs"), known["refused"]["S"], json.loads(known["reads"]["S"])
    asked = {**json.loads(os.environ["HEARTH_RUN_TASK"]), "overrides": _overrides(reads)}
    _see_time(left)
    try:
        answer = ecs.run_task(**asked, clientToken=f"{task}-{refused}")
        started = [each["taskArn"] for each in answer.get("tasks", [])]
    except ecs.exceptions.ConflictException as error:  # asked with other settings before: what it started then, it says
        answer, started = {}, error.response.get("resourceIds", [])
    what, value = ("started", started[0]) if started else ("refused", str(int(refused) + 1))
    unless_changed = {"ConditionExpression": "refused = :refused", "UpdateExpression": f"SET {what} = :value"}
    values = {":value": {"S": value}, ":refused": {"S": refused}}
    _client("dynamodb").update_item(**_row(task), **unless_changed, ExpressionAttributeValues=values)
    if not started:
        raise TriggerError(f"ECS starts no task: {[failure.get('reason') for failure in answer.get('failures', [])]}")
    _log.info("task %s reads %d documents", started[0], len(reads))


@functools.cache
def _client(service: str) -> Any:  # noqa: ANN401 - boto3's clients have no common type
    import boto3  # in Lambda's runtime; it takes a while, and is not needed for a Prefect without a key
    from botocore.config import Config

    # No retries of its own: the queue brings again what failed, and the function's time is short.
    config = Config(connect_timeout=_CONNECT_SECONDS, read_timeout=_ANSWER_SECONDS, retries={"total_max_attempts": 1})
    made: Any = boto3.client
    return made(service, config=config)


def _why(error: Exception) -> str:
    """In few words that hold no value."""
    told = getattr(error, "response", {}).get("Error", {}).get("Code") or type(error).__name__
    return str(error) if isinstance(error, TriggerError) else f"{told} {getattr(error, 'operation_name', '')}".strip()

"""The Lambda function: PDFs that were put into S3 become runs in Prefect or, without Prefect, one ECS task that ends.

Standard library and boto3 alone, in one file, for CloudFormation ships it inside the template. It is called with
messages of a queue that hold EventBridge's "Object Created" or S3's own notifications, or with one of these itself.

What it does for a version of an object it does once however often it is told of it: by Prefect's idempotency key, or by
ECS's client token and a table, in which each version belongs to one task for good, whatever it comes with later. It
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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any
from urllib.parse import quote, unquote_plus

_ANSWER_SECONDS = 15.0
_LEFT_SECONDS = 20.0  # with less time than this nothing more is begun: it comes again instead
_OVERRIDES = 8_192  # characters that ECS takes: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
_TOGETHER = 100  # items that DynamoDB writes all or none of
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
    """versionId or, in a bucket without versions, ETag and sequencer: another upload has another."""

    @property
    def document(self) -> str:
        """Where it is."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def content(self) -> str:
        """Tells its bytes from any others."""
        return f"{self.document}@{self.version}"


Task = tuple[Arrived, ...]  # what one task reads


def run_key(content: str, options: Mapping[str, Any]) -> str:
    """What requests that ask for the same have in common; 64 hex digits. `flows.trigger` uses it, too.

    Args:
        content: tells the document's bytes from any others.
        options: what is asked of it.
    """
    return hashlib.sha256(json.dumps([content, options], sort_keys=True).encode()).hexdigest()


def generation_key(key: str, generation: int) -> str:
    """Prefect's idempotency key of a request's first run, 0, or of a later one that follows a run that failed."""
    return f"{key}-{generation}"


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's own class
    """Answer an event as Lambda delivers it.

    Returns:
        The messages that are to come again, if the event is a batch of a queue's.

    Raises:
        TriggerError: the event itself is to come again: it makes no sense, or nothing could be started.
    """
    start = _in_prefect if os.environ.get("PREFECT_API_URL") else _in_tasks
    from_queue = [record for record in event.get("Records", ()) if record.get("eventSource") == "aws:sqs"]
    if not from_queue:
        failed = start({"event": list(arrivals(event))}, context.get_remaining_time_in_millis)
        if failed:
            raise TriggerError(failed["event"])
        return {}
    found: dict[str, list[Arrived]] = {}
    failures: dict[str, str] = {}
    for record in from_queue:
        try:
            if documents := list(arrivals(json.loads(record["body"]))):
                found[record["messageId"]] = documents
        except (ValueError, TriggerError) as error:
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
    if event.get("Event") == "s3:TestEvent":
        return
    try:
        for found in _objects(event):
            if _wanted(found):
                yield found
            else:
                _log.info("%s is none of ours", found.document)
    except (KeyError, TypeError, AttributeError) as error:
        raise TriggerError(f"no event of S3: {type(error).__name__} {error}") from None


def _objects(event: Mapping[str, Any]) -> Iterator[Arrived]:
    if "detail" in event:
        if event["detail-type"] == "Object Created":
            told = event["detail"]
            # EventBridge tells keys as they are; S3's own notifications encode them.
            yield Arrived(told["bucket"]["name"], told["object"]["key"], _version(told["object"], "version-id", "etag"))
        return
    for record in event["Records"]:
        if record["eventName"].startswith(("ObjectCreated:", "s3:ObjectCreated:")):
            bucket, told = record["s3"]["bucket"]["name"], record["s3"]["object"]
            yield Arrived(bucket, unquote_plus(told["key"]), _version(told, "versionId", "eTag"))


def _version(told: Mapping[str, Any], version: str, etag: str) -> str:
    found = told.get(version)
    return found if found and found != "null" else f"{told[etag]}-{told.get('sequencer', '')}"


def _wanted(found: Arrived) -> bool:
    bucket, prefix = os.environ.get("HEARTH_BUCKET"), os.environ.get("HEARTH_PREFIX", "")
    own = os.environ["HEARTH_OUTPUT"].rstrip("/") + "/"
    return (
        found.key.lower().endswith(".pdf")
        and bucket in {None, found.bucket}
        and found.key.startswith(prefix)
        and not found.document.startswith(own)
    )


def _see_time(left: Callable[[], int]) -> None:
    if left() < _LEFT_SECONDS * 1000:
        raise TriggerError("no time is left")


def _in_prefect(found: Mapping[str, list[Arrived]], left: Callable[[], int]) -> dict[str, str]:
    """A run for each document; why which messages are to come again."""
    failures: dict[str, str] = {}
    deployment = ""
    for message, documents in found.items():
        try:
            for each in documents:
                _see_time(left)
                named = f"/deployments/name/{quote(os.environ['HEARTH_DEPLOYMENT'])}"
                deployment = deployment or _prefect("GET", named)["id"]
                _create_run(deployment, each)
        except TriggerError as error:
            failures[message] = str(error)
    return failures


def _create_run(deployment: str, each: Arrived) -> None:
    output = os.environ["HEARTH_OUTPUT"]
    # By the key a request whose answer was lost, or that was answered 503 though it was served, is found again.
    key = generation_key(run_key(each.content, {"output": output}), 0)
    job = {"document": each.document, "output": output}
    asked = {"parameters": {"job": job}, "state": {"type": "SCHEDULED"}, "idempotency_key": key}
    run = _prefect("POST", f"/deployments/{deployment}/create_flow_run", asked)
    _log.info("%s is run %s", each.document, run["id"])


def _prefect(method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Prefect's answer; neither the key nor what Prefect says beside its status is told to anybody."""
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
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        if secret and error.code in {401, 403}:
            _secret.cache_clear()  # it may have been changed
        raise TriggerError(f"Prefect answers {error.code} to {method} {path}") from None
    except (OSError, ValueError) as error:
        raise TriggerError(f"Prefect does not answer {method} {path}: {type(error).__name__}") from None


@functools.cache
def _secret(name: str) -> str:
    try:
        return str(_client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])
    except Exception as error:  # noqa: BLE001 - whatever boto3 raises
        raise TriggerError(f"the key of Prefect cannot be had: {_code(error)}") from None


def _in_tasks(found: Mapping[str, list[Arrived]], left: Callable[[], int]) -> dict[str, str]:
    """One task for as many documents as fit into its command: a machine is started once for all of them."""
    failures: dict[str, str] = {}
    try:
        tasks = _shared_out([*dict.fromkeys(each for several in found.values() for each in several)])
    except TriggerError as error:
        return dict.fromkeys(found, str(error))
    for task in dict.fromkeys(tasks.values()):
        try:
            _see_time(left)
            _run_task(task)
        except TriggerError as error:
            told = [message for message, several in found.items() if any(tasks[each] == task for each in several)]
            failures |= dict.fromkeys(told, str(error))
    return failures


def _shared_out(documents: list[Arrived]) -> dict[Arrived, Task]:
    """The task that each belongs to, as the documents that it reads; asked for again, it is the same task.

    Raises:
        TriggerError: DynamoDB refuses, or another call has just taken one of them; nothing is lost if all come again.
    """
    tasks: dict[Arrived, Task] = {}
    keys = {each: {"id": {"S": run_key(each.content, {})}} for each in documents}
    store, table = _client("dynamodb"), os.environ["HEARTH_TABLE"]
    try:
        for each, key in keys.items():
            if known := store.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item"):
                tasks[each] = tuple(Arrived(*one) for one in json.loads(known["task"]["S"]))
        forget_at = {"N": str(int(time.time() + _KEPT_SECONDS))}
        once = {"TableName": table, "ConditionExpression": "attribute_not_exists(id)"}
        for task in _grouped([each for each in documents if each not in tasks]):
            facts = {"task": {"S": json.dumps([astuple(each) for each in task])}, "forget_at": forget_at}
            store.transact_write_items(TransactItems=[{"Put": {**once, "Item": keys[each] | facts}} for each in task])
            tasks |= dict.fromkeys(task, task)
    except Exception as error:  # noqa: BLE001 - whatever boto3 raises
        raise TriggerError(f"what was started cannot be looked up: {_code(error)}") from None
    return tasks


def _grouped(documents: list[Arrived]) -> Iterator[Task]:
    task: Task = ()
    for each in documents:
        if task and (len(task) == _TOGETHER or len(json.dumps(_overrides((*task, each)))) > _OVERRIDES):
            yield task
            task = ()
        task = (*task, each)
    if task:
        yield task


def _overrides(task: Task) -> dict[str, Any]:
    command = ["batch", *dict.fromkeys(each.document for each in task), *os.environ["HEARTH_OPTIONS"].split()]
    return {"containerOverrides": [{"name": "hearth", "command": command}]}


def _run_task(task: Task) -> None:
    token = run_key(" ".join(sorted(each.content for each in task)), {})
    asked = {**json.loads(os.environ["HEARTH_RUN_TASK"]), "overrides": _overrides(task), "clientToken": token}
    try:
        answer = _client("ecs").run_task(**asked)
    except Exception as error:  # noqa: BLE001 - whatever boto3 raises
        if _code(error) == "ConflictException":  # these documents were started, with other settings
            return
        raise TriggerError(f"ECS refuses the task: {_code(error)}") from None
    if not answer["tasks"]:
        raise TriggerError(f"ECS starts no task: {[failure.get('reason') for failure in answer['failures']]}")
    _log.info("task %s reads %d documents", answer["tasks"][0]["taskArn"], len(task))


def _client(service: str) -> Any:  # noqa: ANN401 - boto3's clients have no common type
    import boto3  # in Lambda's runtime; it takes a while, and is not needed for a Prefect without a key
    from botocore.config import Config

    # No retries of its own: the queue brings again what failed, and the function's time is short.
    config = Config(connect_timeout=5, read_timeout=_ANSWER_SECONDS, retries={"max_attempts": 1, "mode": "standard"})
    made: Any = boto3.client
    return made(service, config=config)


def _code(error: Exception) -> str:
    """What went wrong, in one word that holds no value."""
    told = getattr(error, "response", {}).get("Error", {})
    return str(told.get("Code") or type(error).__name__)

"""Check that CloudFormation accepts the template: a change set is created, read and deleted, but never executed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from infra_scripts.common.clients import error_code, error_message
from infra_scripts.common.cloudformation import FAILED_STATES, Stack, request_arguments
from infra_scripts.doctor.case import Case
from tasks.core.finding import Finding, State

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

_POLL_SECONDS = 2.0
_DEADLINE_SECONDS = 120.0
_TRIES = 15
_EMPTY = ("didn't contain changes", "no updates are to be performed")
_IN_REVIEW = "REVIEW_IN_PROGRESS"
_ENDED = {"CREATE_COMPLETE", "FAILED"}


def change_set(case: Case) -> Iterator[Finding]:
    """Let CloudFormation compute the changes of `up`, and leave everything as it was.

    CloudFormation validates properties, and names that are in use, while it creates a change set
    (https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html).
    """
    client, arguments = case.aws.cloudformation, request_arguments(case.name, case.request)
    status = Stack(case.aws, case.name).status()
    if status in FAILED_STATES - {_IN_REVIEW}:
        yield Finding(State.UNKNOWN, f"{case.name} is in {status}: `up` deletes it and creates it anew.")
        return
    new = status in {None, _IN_REVIEW}
    name = f"hearth-doctor-{uuid.uuid4().hex[:12]}"
    try:
        client.create_change_set(**arguments, ChangeSetName=name, ChangeSetType="CREATE" if new else "UPDATE")
        yield _judged(client, case.name, name, new=new)
    except ClientError as error:
        if error_code(error) != "ValidationError":
            raise
        yield _refused(error_message(error))
    finally:
        _remove(case, name, created_stack=status is None)


def _judged(client: CloudFormationClient, stack: str, name: str, *, new: bool) -> Finding:
    made = _settled(client, stack, name)
    reason = made.get("StatusReason", "").rstrip(".")
    if made["Status"] == "CREATE_COMPLETE":
        what = f"create {stack}, {len(made.get('Changes', []))} resources" if new else f"update {stack}"
        return Finding(State.OK, f"CloudFormation accepts the template: it would {what}.")
    if any(words in reason.lower() for words in _EMPTY):
        return Finding(State.OK, f"{stack} is deployed with the current settings.")
    if made["Status"] != "FAILED":
        return Finding(State.UNKNOWN, f"CloudFormation did not validate the template in {_DEADLINE_SECONDS:.0f} s.")
    return _refused("; ".join([reason, *_validation(client, stack, name)]))


def _refused(why: str) -> Finding:
    return Finding(State.MISSING, f"CloudFormation refuses the template: {why}.", "Correct the named setting.")


def _settled(client: CloudFormationClient, stack: str, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        made: dict[str, Any] = dict(client.describe_change_set(StackName=stack, ChangeSetName=name))
        if made["Status"] in _ENDED or time.monotonic() > deadline:
            return made
        time.sleep(_POLL_SECONDS)


def _validation(client: CloudFormationClient, stack: str, name: str) -> list[str]:
    """Return the validation errors of single resources, if they can be read."""
    describe = getattr(client, "describe_events", None)  # boto3 has it since the end of 2025
    if describe is None:
        return []
    try:
        events = describe(StackName=stack, ChangeSetName=name).get("OperationEvents", [])
    except ClientError:
        return []
    return [
        f"{event.get('LogicalResourceId', '?')}: {event['ValidationStatusReason'].rstrip('.')}"
        for event in events
        if event.get("ValidationStatus") == "FAILED" and event.get("ValidationStatusReason")
    ]


def _remove(case: Case, name: str, *, created_stack: bool) -> None:
    """Delete the change set, and the empty stack that contains the change set of a new stack."""
    client = case.aws.cloudformation
    for _ in range(_TRIES):
        try:
            client.delete_change_set(StackName=case.name, ChangeSetName=name)
        except (ClientError, ResponseParserError) as error:
            if (
                isinstance(error, ClientError) and error_code(error) == "InvalidChangeSetStatus"
            ):  # it is still being made
                time.sleep(_POLL_SECONDS)
                continue
        break
    stack = Stack(case.aws, case.name, poll_seconds=_POLL_SECONDS)
    if created_stack and stack.status() == _IN_REVIEW:
        stack.delete()

"""A CloudFormation stack: created, updated or deleted, with its events reported as they happen."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from infra_scripts.common.clients import Aws, Listener, error_code, error_message
from infra_scripts.common.errors import StackError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef, StackTypeDef

    from infra_scripts.common.deployment import StackRequest

_DEADLINE_SECONDS = 1800.0
MAX_TEMPLATE_BYTES = 51_200
"""Highest size of a template that is sent with the request."""
FAILED_STATES = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS"}
"""States of stacks that have never worked; CloudFormation updates none of them."""


def fill_template(template: Path, values: Mapping[str, str]) -> str:
    """Return a template's text with the first occurrence of each placeholder replaced by its value."""
    text = template.read_text()
    for placeholder, value in values.items():
        if placeholder not in text:
            raise AssertionError(f"{template.name} has no {placeholder}")
        text = text.replace(placeholder, value, 1)
    return text


def request_arguments(name: str, request: StackRequest) -> dict[str, Any]:
    """Return the arguments of the calls that create or change a stack."""
    return {
        "StackName": name,
        "TemplateBody": request.template,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in request.parameters.items()],
        "Tags": [{"Key": key, "Value": value} for key, value in request.tags.items()],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    }


class Change(StrEnum):
    """The change to a stack."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class StackResult:
    """The result of `up`."""

    change: Change
    outputs: dict[str, str]


class Stack:
    """A stack with a name. The listener receives its events as they happen; `poll_seconds` lie between two requests."""

    def __init__(self, aws: Aws, name: str, listener: Listener | None = None, *, poll_seconds: float = 3.0) -> None:
        self._client = aws.cloudformation
        self.name = name
        self._tell = listener or (lambda _: None)
        self._poll = poll_seconds
        self._seen: set[str] = set()

    def describe(self) -> StackTypeDef | None:
        """Return AWS's description; None if the stack does not exist."""
        try:
            return self._client.describe_stacks(StackName=self.name)["Stacks"][0]
        except ClientError as error:
            if error_code(error) == "ValidationError" and "does not exist" in error_message(error):
                return None
            raise

    def outputs(self) -> dict[str, str]:
        """Return the stack's outputs, empty if it does not exist."""
        found = self.describe()
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])} if found else {}

    def status(self) -> str | None:
        """Return CloudFormation's status, such as UPDATE_COMPLETE; None if the stack does not exist."""
        found = self.describe()
        return found["StackStatus"] if found else None

    def deploy(self, request: StackRequest) -> Change:
        """Create or update the stack, and wait until that is done.

        Raises:
            StackError: the stack was rolled back, or its state permits no change.
        """
        if (size := len(request.template.encode())) > MAX_TEMPLATE_BYTES:
            raise StackError(
                f"The template has {size} bytes, but CloudFormation accepts {MAX_TEMPLATE_BYTES}. Shorten its inputs."
            )
        self._note_events()
        status = self._settled()
        if status in FAILED_STATES:
            self._tell(
                f"The stack {self.name} is in {status}, which cannot be updated: it is deleted and created anew."
            )
            self.delete()
            status = None
        if status in {"UPDATE_ROLLBACK_FAILED", "UPDATE_FAILED"}:
            raise StackError(
                f"The stack {self.name} is in {status}{self._why()}. Fix that, continue the rollback in "
                "CloudFormation's console, and run again; or take it down and up again."
            )
        arguments = request_arguments(self.name, request)
        if status is None:
            self._client.create_stack(**arguments)
        else:
            try:
                self._client.update_stack(**arguments)
            except ClientError as error:
                if "No updates are to be performed" in error_message(error):
                    return Change.UNCHANGED
                raise
        reached = self._settled()
        if reached not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            raise StackError(f"The stack {self.name} ended in {reached}{self._why()}. Fix that and run again.")
        return Change.CREATED if status is None else Change.UPDATED

    def delete(self) -> None:
        """Delete the stack and wait until it is gone; do nothing if it does not exist.

        Raises:
            StackError: a resource cannot be deleted.
        """
        found = self.describe()
        if found is None:
            return
        self._note_events()
        if found["StackStatus"] != "CREATE_IN_PROGRESS":  # a creation can be aborted, and already costs money
            self._settled()
        # By its id: the name of a deleted stack is unknown.
        self._client.delete_stack(StackName=found["StackId"])
        reached = self._settled()
        if reached not in {None, "DELETE_COMPLETE"}:
            raise StackError(f"The stack {self.name} is in {reached}{self._why()}. Fix that and run again.")

    def _settled(self) -> str | None:
        """Wait until no operation is in progress, and return the status."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while True:
            status = self.status()
            if status is None or not status.endswith("_IN_PROGRESS") or status == "REVIEW_IN_PROGRESS":
                self._tell_events()
                return status
            if time.monotonic() > deadline:
                raise StackError(
                    f"The stack {self.name} is still in {status} after {_DEADLINE_SECONDS / 60:g} minutes. Check it in "
                    "CloudFormation's console, then run again."
                )
            self._tell_events()
            time.sleep(self._poll)

    def _events(self) -> list[StackEventTypeDef]:
        """Return the newest events, the oldest of them first."""
        try:
            found = self._client.describe_stack_events(StackName=self.name)["StackEvents"]
        except ClientError as error:
            if error_code(error) == "ValidationError":
                return []
            raise
        return found[::-1]

    def _note_events(self) -> None:
        self._seen = {event["EventId"] for event in self._events()}

    def _tell_events(self) -> None:
        for event in self._events():
            if event["EventId"] not in self._seen:
                self._seen.add(event["EventId"])
                what, status = event.get("LogicalResourceId", ""), event.get("ResourceStatus", "")
                if not status.endswith("_IN_PROGRESS"):
                    self._tell(f"{what}: {status.lower().replace('_', ' ')}")

    def _why(self) -> str:
        """Return the first failure, which caused the others."""
        for event in self._events()[-100:]:
            reason = event.get("ResourceStatusReason", "")
            if event.get("ResourceStatus", "").endswith("_FAILED") and "cancelled" not in reason.lower():
                return f": {event.get('LogicalResourceId')} failed, {reason.rstrip('.')}"
        return ""

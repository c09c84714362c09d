"""One CloudFormation stack: brought to a template, or deleted, with what happens told as it happens."""

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
"""Of a template that is sent with the request."""
# A stack in one of these has never worked, and CloudFormation updates none of them.
_BEING_MADE = "CREATE_IN_PROGRESS"
FAILED_STATES = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS"}


def fill_template(template: Path, values: Mapping[str, str]) -> str:
    """A template's text with each placeholder, which occurs in it, replaced by its value."""
    text = template.read_text()
    for placeholder, value in values.items():
        before, found, after = text.partition(placeholder)
        if not found:
            raise AssertionError(f"{template.name} has no {placeholder}")
        text = before + value + after
    return text


def request_arguments(name: str, request: StackRequest) -> dict[str, Any]:
    """Return what all calls take that make or change a stack."""
    return {
        "StackName": name,
        "TemplateBody": request.template,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in request.parameters.items()],
        "Tags": [{"Key": key, "Value": value} for key, value in request.tags.items()],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    }


class Change(StrEnum):
    """What was done to a stack."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class StackResult:
    """What `up` did."""

    change: Change
    outputs: dict[str, str]


class Stack:
    """A stack by its name."""

    def __init__(self, aws: Aws, name: str, listener: Listener, *, poll_seconds: float = 3.0) -> None:
        self._client = aws.cloudformation
        self.name = name
        self._tell = listener
        self._poll = poll_seconds
        self._seen: set[str] = set()

    def describe(self) -> StackTypeDef | None:
        """What AWS says of it; None if there is none."""
        try:
            return self._client.describe_stacks(StackName=self.name)["Stacks"][0]
        except ClientError as error:
            if error_code(error) == "ValidationError" and "does not exist" in error_message(error):
                return None
            raise

    def outputs(self) -> dict[str, str]:
        """Its outputs; none if there is no stack."""
        found = self.describe()
        told = found.get("Outputs", []) if found else []
        return {output["OutputKey"]: output["OutputValue"] for output in told}

    def deploy(self, request: StackRequest) -> Change:
        """Create it, or update it, and wait until that is done.

        Raises:
            StackError: it was rolled back, or is in no state to be changed.
        """
        if (size := len(request.template.encode())) > MAX_TEMPLATE_BYTES:
            raise StackError(f"The template has {size} bytes, and CloudFormation takes {MAX_TEMPLATE_BYTES}.")
        self._note_events()
        status = self._settled()
        if status in FAILED_STATES:
            self._tell(f"The stack {self.name} is in {status}, a dead end: it is deleted and made anew.")
            self.delete()
            status = None
        if status in {"UPDATE_ROLLBACK_FAILED", "UPDATE_FAILED"}:
            raise StackError(
                f"The stack {self.name} is in {status}{self._why()}. Mend that, continue the rollback in "
                "CloudFormation's console, and run again; or take it down and up again."
            )
        asked = request_arguments(self.name, request)
        if status is None:
            self._client.create_stack(**asked)
        else:
            try:
                self._client.update_stack(**asked)
            except ClientError as error:
                if "No updates are to be performed" in error_message(error):
                    return Change.UNCHANGED
                raise
        reached = self._settled()
        if reached not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            raise StackError(f"The stack {self.name} ended in {reached}{self._why()}. Mend that and run again.")
        return Change.CREATED if status is None else Change.UPDATED

    def delete(self) -> None:
        """Delete it and wait until it is gone; no stack is no error.

        Raises:
            StackError: something in it cannot be deleted.
        """
        found = self.describe()
        if found is None:
            return
        self._note_events()
        if found["StackStatus"] != _BEING_MADE:  # what is being made already costs money, and can be given up
            self._settled()
        # By its id, as its name means nothing once it is gone.
        self._client.delete_stack(StackName=found["StackId"])
        reached = self._settled()
        if reached not in {None, "DELETE_COMPLETE"}:
            raise StackError(f"The stack {self.name} is in {reached}{self._why()}. Mend that and run again.")

    def _settled(self) -> str | None:
        """Its status once nothing goes on in it."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while True:
            found = self.describe()
            status = found and found["StackStatus"]
            if status is None or not status.endswith("_IN_PROGRESS") or status == "REVIEW_IN_PROGRESS":
                self._tell_events()
                return status
            if time.monotonic() > deadline:
                raise StackError(
                    f"The stack {self.name} is still in {status} after {_DEADLINE_SECONDS / 60:g} minutes."
                )
            self._tell_events()
            time.sleep(self._poll)

    def _events(self) -> list[StackEventTypeDef]:
        """The newest events, the oldest of them first."""
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
        """The first thing that failed, which the others followed."""
        for event in self._events()[-100:]:
            reason = event.get("ResourceStatusReason", "")
            if event.get("ResourceStatus", "").endswith("_FAILED") and "cancelled" not in reason.lower():
                return f": {event.get('LogicalResourceId')} failed, {reason.rstrip('.')}"
        return ""

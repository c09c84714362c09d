"""CloudFormation as it is where something is refused: a stack rolls back, or stays because something depends on it.

Simulated, after the CloudFormation User Guide (Stack status codes; Troubleshooting). moto makes everything and rolls
back nothing: a refused stack is an empty one there, and what is told of it is changed here.
"""

from __future__ import annotations

import asyncio
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from tests.support.aws.direct import AsyncDirect
from tests.support.aws.lifecycle import Lifecycle
from tests.support.aws.refusals import Refusals
from tests.support.aws.templates import asked
from tests.support.aws.wire import Answer, Call, Proceed, element, error_answer, xml_answer

_NOTHING = json.dumps({"Resources": {"Nothing": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}})


@dataclass(frozen=True)
class _Failed:
    status: str
    events: tuple[tuple[str, str, str, str], ...]
    """Logical id, type, status and reason, the newest first."""


class Stacks:
    """The layer of stacks."""

    def __init__(
        self, refusals: Refusals, lifecycle: Lifecycle, direct: AsyncDirect, behind: Callable[[str], Any]
    ) -> None:
        self._refusals = refusals
        self._lifecycle = lifecycle
        self._direct = direct
        self._behind = behind
        self._failed: dict[str, _Failed] = {}

    async def __call__(self, call: Call, proceed: Proceed) -> Answer:
        """The layer."""
        match call.service, call.action:
            case "ec2", "DeleteSecurityGroup":
                refused = await self._dependent(call, call.parameters.get("GroupId", ""))
                return refused or await proceed(call)
            case "cloudformation", "CreateStack" | "UpdateStack" if "TemplateBody" in call.parameters:
                return await self._change(call, proceed)
            case "cloudformation", "DeleteStack":
                return await self._delete(call, proceed)
            case "cloudformation", "DescribeStacks":
                return self._with_status(await proceed(call))
            case "cloudformation", "DescribeStackEvents":
                return self._with_events(call, await proceed(call))
        return await proceed(call)

    async def _change(self, call: Call, proceed: Proceed) -> Answer:
        wanted = await asyncio.to_thread(asked, call)
        if missing := await self._refusals.unfetched(wanted):
            message = f"Unable to fetch parameters [{','.join(missing)}] from parameter store for this account."
            return error_answer(call, "ValidationError", message)
        refusal = await self._refusals.of(wanted)
        creates = call.action == "CreateStack"
        if refusal is None:
            answer = await proceed(call)
            if answer.ok:
                self._failed.pop(wanted.name, None)
            return answer
        verb, status = ("CREATE", "ROLLBACK") if creates else ("UPDATE", "UPDATE_ROLLBACK")
        stack = (wanted.name, "AWS::CloudFormation::Stack")
        self._failed[wanted.name] = _Failed(
            f"{status}_COMPLETE",
            (
                (*stack, f"{status}_COMPLETE", ""),
                (refusal.resource.id, refusal.resource.type, f"{verb}_FAILED", refusal.reason),
            ),
        )
        if creates:
            call.parameters["TemplateBody"] = _NOTHING
            call.without("Parameters")
            return await proceed(call)
        found = await asyncio.to_thread(self._behind("cloudformation").describe_stacks, StackName=wanted.name)
        result = {"UpdateStackResult": {"StackId": found["Stacks"][0]["StackId"]}}
        return xml_answer(element("UpdateStackResponse", result))

    async def _delete(self, call: Call, proceed: Proceed) -> Answer:
        name = _name(call.parameters["StackName"])
        for logical, group in await asyncio.to_thread(self._groups, call.parameters["StackName"]):
            if await self._dependent(call, group):
                reason = f"resource {group} has a dependent object (Service: Ec2, Status Code: 400, Request ID: -)"
                failed = (logical, "AWS::EC2::SecurityGroup", "DELETE_FAILED", reason)
                self._failed[name] = _Failed("DELETE_FAILED", (failed,))
                return xml_answer(element("DeleteStackResponse", {"ResponseMetadata": {"RequestId": "-"}}))
        self._failed.pop(name, None)
        return await proceed(call)

    def _groups(self, stack: str) -> list[tuple[str, str]]:
        try:
            found = self._behind("cloudformation").list_stack_resources(StackName=stack)["StackResourceSummaries"]
        except ClientError:
            return []
        groups = [each for each in found if each["ResourceType"] == "AWS::EC2::SecurityGroup"]
        return [(each["LogicalResourceId"], each["PhysicalResourceId"]) for each in groups]

    async def _dependent(self, call: Call, group: str) -> Answer | None:
        """A machine holds its security group until it is terminated, which shutting down is not."""
        found = await self._direct("DescribeInstances", MaxResults=1000)
        for item in found.iterfind("reservationSet/item/instancesSet/item"):
            state = self._lifecycle.state(item.findtext("instanceId", ""), item.findtext("instanceState/name", ""))
            held = {each.text for each in item.iterfind("groupSet/item/groupId")}
            if group in held and state != "terminated":
                return error_answer(call, "DependencyViolation", f"resource {group} has a dependent object")
        return None

    def _with_status(self, answer: Answer) -> Answer:
        if not answer.ok or not self._failed:
            return answer
        root = answer.xml()
        for stack in root.iterfind("DescribeStacksResult/Stacks/member"):
            failed = self._failed.get(stack.findtext("StackName", ""))
            status = stack.find("StackStatus")
            if failed is not None and status is not None:
                status.text = failed.status
        return xml_answer(root)

    def _with_events(self, call: Call, answer: Answer) -> Answer:
        failed = self._failed.get(_name(call.parameters.get("StackName", "")))
        if not answer.ok or failed is None:
            return answer
        root = answer.xml()
        listed = root.find("DescribeStackEventsResult/StackEvents")
        assert listed is not None
        for place, event in enumerate(failed.events):
            listed.insert(place, _event(event, listed))
        return xml_answer(root)


def _event(event: tuple[str, str, str, str], listed: ET.Element) -> ET.Element:
    logical, kind, status, reason = event
    told = {
        "EventId": str(uuid4()),
        "StackId": listed.findtext("member/StackId", ""),
        "StackName": listed.findtext("member/StackName", ""),
        "LogicalResourceId": logical,
        "ResourceType": kind,
        "ResourceStatus": status,
        "Timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}Z",
        "ResourceStatusReason": reason or None,
    }
    return element("member", told)


def _name(stack: str) -> str:
    """Return a stack's name, by which or by whose ARN it is asked for."""
    return stack.split("/")[1] if stack.startswith("arn:") else stack

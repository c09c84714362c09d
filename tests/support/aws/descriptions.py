"""DescribeInstances and its like, told as EC2 tells them.

Simulated, after the EC2 API Reference. moto crashes at some filters, knows no wildcards, shows states that EC2 passes
through at once, and forgets the other instances of a reservation when it is asked for one of them by its id.
"""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from tests.support.aws.direct import AsyncDirect
from tests.support.aws.lifecycle import Lifecycle, set_state
from tests.support.aws.spot import Spot
from tests.support.aws.wire import Answer, Call, Proceed, element, error_answer, tree, xml_answer

PATHS = {
    "instance-id": "instanceId",
    "instance-state-name": "instanceState/name",
    "instance-state-code": "instanceState/code",
    "instance-lifecycle": "instanceLifecycle",
    "instance-type": "instanceType",
    "image-id": "imageId",
    "subnet-id": "subnetId",
    "vpc-id": "vpcId",
    "private-ip-address": "privateIpAddress",
    "availability-zone": "placement/availabilityZone",
    "client-token": "clientToken",
    "spot-instance-request-id": "spotInstanceRequestId",
}
SPOT_PATHS = {
    "instance-id": "instanceId",
    "state": "state",
    "status-code": "status/code",
    "type": "type",
    "spot-instance-request-id": "spotInstanceRequestId",
}
Filters = list[tuple[str, list[str]]]


class Descriptions:
    """The layer of answers that only tell.

    Attributes:
        console: gives what an instance has logged.
        disk_ages: how old volumes are, in seconds, by their ids; moto's own word holds for the others.
    """

    def __init__(self, lifecycle: Lifecycle, spot: Spot, moto: AsyncDirect) -> None:
        self._lifecycle = lifecycle
        self._spot = spot
        self._moto = moto
        self.console: Callable[[str], str] = lambda _: ""
        self.disk_ages: dict[str, float] = {}

    async def __call__(self, call: Call, proceed: Proceed) -> Answer:
        """The layer."""
        if call.service != "ec2":
            return await proceed(call)
        if call.action == "DescribeInstances":
            return await self._instances(call, proceed)
        if call.action == "DescribeSpotInstanceRequests":
            return await self._requests(call, proceed)
        if call.action == "ModifyInstanceAttribute":
            _spell_behaviour(call)
        answer = await proceed(call)
        if call.action == "GetConsoleOutput" and answer.ok:
            return self._console(call, answer)
        if call.action == "DescribeVolumes" and answer.ok:
            return self._volumes(answer)
        return answer

    async def _instances(self, call: Call, proceed: Proceed) -> Answer:
        wanted, filters = call.listed("InstanceId"), _filters(call, PATHS)
        call.without("InstanceId")
        answer = await proceed(call)
        if not answer.ok:
            return answer
        root = answer.xml()
        requests = await self._spot.requests(self._moto)
        found = set()
        for reservation in root.findall("reservationSet/item"):
            instances = reservation.find("instancesSet")
            for item in list(instances):
                name = item.findtext("instanceId", "")
                found.add(name)
                self._retell(item, requests)
                hidden = self._lifecycle.hidden(name) or (wanted and name not in wanted)
                if hidden or not _fits(item, filters, PATHS):
                    instances.remove(item)
            if not len(instances):
                root.find("reservationSet").remove(reservation)
        if missing := [name for name in wanted if name not in found]:
            code = "InvalidInstanceID.NotFound"
            return error_answer(call, code, f"The instance ID '{missing[0]}' does not exist")
        return xml_answer(root)

    def _retell(self, item: ET.Element, requests: dict[str, str]) -> None:
        name = item.findtext("instanceId", "")
        state = item.find("instanceState")
        set_state(state, self._lifecycle.state(name, state.findtext("name", "")))
        if started := self._lifecycle.launch_time(name):
            item.find("launchTime").text = started
        if reason := self._lifecycle.reasons.get(name):
            _put(item, element("stateReason", {"code": reason[0], "message": reason[1]}))
        if name in requests:
            _put(item, element("spotInstanceRequestId", requests[name]))
        if state.findtext("name") in {"shutting-down", "terminated"}:
            for gone in ("privateIpAddress", "subnetId", "vpcId"):
                for each in item.findall(gone):
                    item.remove(each)

    async def _requests(self, call: Call, proceed: Proceed) -> Answer:
        filters = _filters(call, SPOT_PATHS)
        answer = await proceed(call)
        if not answer.ok:
            return answer
        root = answer.xml()
        states = {name: one.state for name, one in (await self._moto.instances()).items()}
        requests = root.find("spotInstanceRequestSet")
        for item in list(requests):
            self._spot.retell(item, states)
            if not _fits(item, filters, SPOT_PATHS):
                requests.remove(item)
        return xml_answer(root)

    def _console(self, call: Call, answer: Answer) -> Answer:
        root = answer.xml()
        text = self.console(call.parameters["InstanceId"])
        _put(root, element("output", base64.b64encode(text.encode()).decode()))
        return xml_answer(root)

    def _volumes(self, answer: Answer) -> Answer:
        root = answer.xml()
        for item in root.iterfind("volumeSet/item"):
            if (age := self.disk_ages.get(item.findtext("volumeId", ""))) is not None:
                made = datetime.now(UTC) - timedelta(seconds=age)
                item.find("createTime").text = f"{made:%Y-%m-%dT%H:%M:%S}.000Z"
        return xml_answer(root)


def _spell_behaviour(call: Call) -> None:
    """Moto knows this attribute in the older of EC2's two spellings only."""
    if value := call.parameters.pop("InstanceInitiatedShutdownBehavior.Value", None):
        call.parameters |= {"Attribute": "instanceInitiatedShutdownBehavior", "Value": value}


def _filters(call: Call, known: Iterable[str]) -> Filters:
    """Take the filters that are applied here out of the call."""
    asked = tree(call.parameters).get("Filter", [])
    taken: Filters = []
    kept = []
    for each in asked:
        name = each["Name"]
        mine = name in known or name.startswith("tag:") or name == "tag-key"
        (taken.append((name, each["Value"])) if mine else kept.append(each))
    call.without("Filter")
    call.replace({**tree(call.parameters), "Filter": kept})
    return taken


def _fits(item: ET.Element, filters: Filters, paths: dict[str, str]) -> bool:
    tags = {tag.findtext("key", ""): tag.findtext("value", "") for tag in item.iterfind("tagSet/item")}

    def values(name: str) -> list[str]:
        if name == "tag-key":
            return list(tags)
        if name.startswith("tag:"):
            return [tags[key] for key in [name.removeprefix("tag:")] if key in tags]
        return [item.findtext(paths[name], "")]

    return all(
        any(fnmatchcase(value, pattern) for value in values(name) for pattern in patterns) for name, patterns in filters
    )


def _put(parent: ET.Element, child: ET.Element) -> None:
    for old in parent.findall(child.tag):
        parent.remove(old)
    parent.append(child)

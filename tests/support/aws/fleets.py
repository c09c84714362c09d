"""Launches as EC2 does them where moto does not: capacity, order, errors, and what the launch template says.

All of it is simulated, after the EC2 API Reference (CreateFleet, RunInstances, CreateFleetError, Error codes) and the
EC2 User Guide (EC2 Fleet: allocation strategies, instant fleets).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from tests.support.aws.capacity import MESSAGES, NO_CAPACITY, Capacity
from tests.support.aws.direct import AsyncDirect
from tests.support.aws.wire import Answer, Call, Proceed, Tree, element, error_answer, tree, xml_answer

POOLS_TRIED = 3
"""Reported of instant fleets by their users, and not documented: the harsher rule for a client."""
NOT_TRIED = "UnfulfillableCapacity"
PRIORITIES = {"prioritized", "capacity-optimized-prioritized"}
SERVER_ERRORS = {NO_CAPACITY}


class Fleets:
    """The layer of launches."""

    def __init__(self, capacity: Capacity, moto: AsyncDirect) -> None:
        self._capacity = capacity
        self._moto = moto
        self._launches: dict[str, Callable[[Call, Proceed], Awaitable[Answer]]] = {
            "CreateFleet": self._fleet,
            "RunInstances": self._run,
            "StartInstances": self._start,
        }

    async def __call__(self, call: Call, proceed: Proceed) -> Answer:
        """The layer."""
        launch = self._launches.get(call.action) if call.service == "ec2" else None
        return await launch(call, proceed) if launch else await proceed(call)

    async def _fleet(self, call: Call, proceed: Proceed) -> Answer:
        """Overrides without capacity are left out, and the first of the others, in the strategy's order, is taken.

        AWS tells of each pool that it could not use in Errors, and answers 200 with an empty fleet if none is left.
        """
        request = tree(call.parameters)
        if request.get("Type") != "instant":
            return await proceed(call)
        market = _market(request)
        errors: list[Tree] = []
        chosen = None
        for number, (config, override) in enumerate(_in_order(request, market)):
            zone = override.get("AvailabilityZone") or await self._moto.zone(override["SubnetId"])
            code = self._capacity.refusal(market, zone, override["InstanceType"])
            if chosen is None and number >= POOLS_TRIED:
                errors.append(_error(NOT_TRIED, market, config, override))
            elif code:
                errors.append(_error(code, market, config, override))
            elif chosen is None:
                chosen = (config, override, zone)
        if chosen is None:
            fleet = {"fleetId": f"fleet-{uuid4()}", "errorSet": errors}
            return xml_answer(element("CreateFleetResponse", {"requestId": "-", **fleet, "fleetInstanceSet": []}))
        config, override, zone = chosen
        request["LaunchTemplateConfigs"] = [{**config, "Overrides": [override]}]
        call.replace(request)
        answer = await proceed(call)
        if answer.ok:
            self._capacity.take(market, zone, override["InstanceType"])
            await self._equip(answer, config["LaunchTemplateSpecification"])
        return _with_errors(answer, errors)

    async def _equip(self, answer: Answer, template: Tree) -> None:
        """Moto ignores a template's shutdown behaviour, metadata options and instance profile in fleets."""
        named = {key: value for key, value in template.items() if key != "Version"}
        version = {"LaunchTemplateVersion": [template.get("Version", "$Default")]}
        found = await self._moto("DescribeLaunchTemplateVersions", **named, **version)
        data = found.find("launchTemplateVersionSet/item/launchTemplateData")
        for item in answer.xml().iterfind("fleetInstanceSet/item/instanceIds/item"):
            if behaviour := data.findtext("instanceInitiatedShutdownBehavior"):
                attribute = {"Attribute": "instanceInitiatedShutdownBehavior", "Value": behaviour}
                await self._moto("ModifyInstanceAttribute", InstanceId=item.text, **attribute)
            if data.find("metadataOptions") is not None:
                options = {key[0].upper() + key[1:]: value for key, value in _texts(data, "metadataOptions").items()}
                await self._moto("ModifyInstanceMetadataOptions", InstanceId=item.text, **options)
            if profile := _texts(data, "iamInstanceProfile"):
                named = {key.capitalize(): value for key, value in profile.items()}
                await self._moto("AssociateIamInstanceProfile", InstanceId=item.text, IamInstanceProfile=named)

    async def _run(self, call: Call, proceed: Proceed) -> Answer:
        """RunInstances fails as a whole for want of capacity."""
        request = tree(call.parameters)
        market = request.get("InstanceMarketOptions", {}).get("MarketType", "on-demand")
        interfaces: list[Tree] = request.get("NetworkInterface", [{}])
        subnet = request.get("SubnetId") or interfaces[0].get("SubnetId")
        zone = await self._moto.zone(subnet) if subnet else request.get("Placement", {}).get("AvailabilityZone", "")
        code = self._capacity.refusal(market, zone, request.get("InstanceType", ""))
        if code:
            return refused(call, code)
        answer = await proceed(call)
        if answer.ok:
            self._capacity.take(market, zone, request.get("InstanceType", ""))
        return answer

    async def _start(self, call: Call, proceed: Proceed) -> Answer:
        """A stopped machine has no claim to capacity when it is started again."""
        instances = await self._moto.instances()
        for name in call.listed("InstanceId"):
            if (one := instances.get(name)) and one.state == "stopped":
                code = self._capacity.refusal(one.market, one.zone, one.type)
                if code:
                    return refused(call, code)
        return await proceed(call)


def refused(call: Call, code: str) -> Answer:
    """A launch that AWS refuses; want of capacity is a server's error, which clients retry."""
    return error_answer(call, code, MESSAGES.get(code, "Simulated."), 500 if code in SERVER_ERRORS else 400)


def _market(request: Tree) -> str:
    target = request["TargetCapacitySpecification"]
    if int(target.get("SpotTargetCapacity", 0)):
        return "spot"
    if int(target.get("OnDemandTargetCapacity", 0)):
        return "on-demand"
    return target.get("DefaultTargetCapacityType", "on-demand")


def _in_order(request: Tree, market: str) -> list[tuple[Tree, Tree]]:
    configs = request["LaunchTemplateConfigs"]
    pairs = [(config, override) for config in configs for override in config.get("Overrides", [])]
    options = request.get("SpotOptions" if market == "spot" else "OnDemandOptions", {})
    if options.get("AllocationStrategy") in PRIORITIES:
        pairs.sort(key=lambda pair: float(pair[1].get("Priority", "inf")))
    return pairs


def _error(code: str, market: str, config: Tree, override: Tree) -> Tree:
    return {
        "launchTemplateAndOverrides": {
            "launchTemplateSpecification": _lower(config["LaunchTemplateSpecification"]),
            "overrides": _lower({key: value for key, value in override.items() if isinstance(value, str)}),
        },
        "lifecycle": market,
        "errorCode": code,
        "errorMessage": MESSAGES.get(code, "Simulated."),
    }


def _lower(fields: Tree) -> Tree:
    return {key[0].lower() + key[1:]: value for key, value in fields.items()}


def _texts(data: Any, name: str) -> dict[str, str]:
    return {each.tag: each.text for each in data.iterfind(f"{name}/*") if each.text and each.tag != "state"}


def _with_errors(answer: Answer, errors: list[Tree]) -> Answer:
    if not answer.ok or not errors:
        return answer
    root = answer.xml()
    for old in root.findall("errorSet"):
        root.remove(old)
    root.append(element("errorSet", errors))
    return xml_answer(root)

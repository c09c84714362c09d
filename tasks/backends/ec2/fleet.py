"""Launch one machine: an EC2 Fleet of type instant over all types and zones, spot first where it may be spot."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tasks.aws.client import Aws, ask
from tasks.aws.quotas import ec2_quota_name
from tasks.backends.ec2.machine import Market
from tasks.backends.ec2.outputs import Stack
from tasks.core.errors import CapacityError, CloudError, InputError
from tasks.core.events import Progress, RunWarning, emit
from tasks.costs.price_book import Book
from tasks.costs.rates import fallback_note, on_demand_usd_per_hour
from tasks.settings.ec2 import Ec2Settings, SpotPolicy

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import CreateFleetResultTypeDef

# Words of a fleet's Errors[].ErrorCode (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html).
_NO_CAPACITY = {
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientReservedInstanceCapacity",
    "SpotMaxPriceTooLow",
    "MaxPriceTooLow",
    "InsufficientFreeAddressesInSubnet",
    "InternalError",
    "ServerInternal",
    "Unavailable",
    "RequestLimitExceeded",
}
# These say nothing of the other places: one that was not tried, and types that a zone does not offer.
_NOT_TRIED = "UnfulfillableCapacity"
_SILENT = {_NOT_TRIED, "Unsupported", "InvalidFleetConfiguration"}
_QUOTA = {"VcpuLimitExceeded", "MaxSpotInstanceCountExceeded", "InstanceLimitExceeded"}
_PROFILE = ("InvalidParameterValue", "invalid iam instance profile")  # new: EC2 learns of it in IAM's own time
_DENIED = {"UnauthorizedOperation", "AccessDenied", "AuthFailure.ServiceLinkedRoleCreationNotPermitted"}


class UnsettledError(CapacityError):
    """EC2 does not know yet what the stack made, and will in some minutes."""


@dataclass(frozen=True)
class Offer:
    """A fleet's request: one market, all the places where a machine may be.

    Attributes:
        base: the request without its launch template and its client token.
        template: the launch template.
        places: the overrides, in order of preference.
        nonce: see `offers`.
    """

    market: Market
    base: dict[str, Any]
    template: dict[str, str]
    places: tuple[dict[str, Any], ...]
    nonce: str

    @property
    def request(self) -> dict[str, Any]:
        """As CreateFleet wants it. Alike requests have the same client token, so that AWS answers them alike."""
        template = {"LaunchTemplateSpecification": self.template, "Overrides": list(self.places)}
        request = {**self.base, "LaunchTemplateConfigs": [template]}
        told = json.dumps([self.nonce, request], sort_keys=True).encode()
        return {**request, "ClientToken": hashlib.sha256(told).hexdigest()[:40]}

    def without(self, tried: Collection[tuple[str, str]]) -> Offer | None:
        """The places that were not tried; None if that is none, or all."""
        left = tuple(place for place in self.places if (place["InstanceType"], place["SubnetId"]) not in tried)
        return replace(self, places=left) if 0 < len(left) < len(self.places) else None


@dataclass(frozen=True)
class Failure:
    """Why one place of a fleet brought nothing."""

    code: str
    message: str
    type: str
    subnet: str = ""


def affordable(settings: Ec2Settings, region: str, book: Book) -> tuple[str, ...]:
    """The types that are known to cost no more on demand than they may; told if that is judged by us-east-1's price."""
    if settings.max_price is None:
        return settings.types
    if (told := fallback_note(settings.types, region, book)) is not None:
        emit(RunWarning(f"HEARTH_EC2__MAX_PRICE: {told}"))
    prices = {each: on_demand_usd_per_hour(each, region, book) for each in settings.types}
    return tuple(each for each, price in prices.items() if price is not None and price <= settings.max_price)


def offers(
    settings: Ec2Settings, stack: Stack, subnets: Sequence[str], image: str, nonce: str, types: Sequence[str]
) -> Iterator[Offer]:
    """The requests to be tried, in this order.

    Args:
        settings: types, market and price.
        stack: what the machine is made from.
        subnets: where the machine may be.
        image: id of the AMI.
        nonce: the same for tries of the same launch, so that AWS makes one machine of two alike requests.
        types: those that may be had on demand: see `affordable`.

    Raises:
        InputError: no type may be used at this price.
    """
    policy = settings.spot_policy
    if policy is not SpotPolicy.ON_DEMAND:
        yield _offer(Market.SPOT, settings, stack, settings.types, subnets, image, nonce)
    if policy is not SpotPolicy.SPOT:
        if types:
            yield _offer(Market.ON_DEMAND, settings, stack, types, subnets, image, nonce)
        elif policy is SpotPolicy.ON_DEMAND:
            raise InputError(
                f"No type of {', '.join(settings.types)} is known to cost at most {settings.max_price} USD an hour on "
                "demand. Raise HEARTH_EC2__MAX_PRICE, or change HEARTH_EC2__TYPES."
            )


async def launch(aws: Aws, offered: Iterable[Offer]) -> str:
    """Try the offers until one brings a machine.

    Returns:
        The machine's id.

    Raises:
        CapacityError: there is no machine just now; trying again later may help.
        CloudError: a quota, a permission, or the image forbid it for good.
    """
    failures: list[tuple[Market, Failure]] = []
    for offered_one in offered:
        offer: Offer | None = offered_one
        while offer is not None:
            emit(Progress(f"asking EC2 for a machine, {offer.market}"))
            answer = await ask(aws.ec2.create_fleet, **offer.request)
            launched = [each for brought in answer.get("Instances", ()) for each in brought.get("InstanceIds", ())]
            if launched:
                return launched[0]
            met = list(_failures(answer)) or [Failure(_NOT_TRIED, "the fleet brought nothing", "")]
            failures += [(offer.market, failure) for failure in met]
            emit(RunWarning(f"No {offer.market} machine: {_summary(met)}."))
            tried = [failure for failure in met if failure.code != _NOT_TRIED]
            passing = all(failure.code in _NO_CAPACITY | _SILENT for failure in tried)
            # A fleet need not have tried every place that it was given.
            offer = offer.without([(failure.type, failure.subnet) for failure in tried]) if passing else None
    raise _judged(failures)


def _offer(
    market: Market,
    settings: Ec2Settings,
    stack: Stack,
    types: Sequence[str],
    subnets: Sequence[str],
    image: str,
    nonce: str,
) -> Offer:
    spot = market is Market.SPOT
    places: list[dict[str, Any]] = [
        {"ImageId": image, "InstanceType": each, "SubnetId": subnet, "Priority": float(rank)}
        for rank, each in enumerate(types)
        for subnet in subnets
    ]
    if spot and settings.max_price is not None:
        for place in places:
            place["MaxPrice"] = str(settings.max_price)
    template = {"LaunchTemplateId": stack.launch_template, "Version": stack.launch_template_version}
    request: dict[str, Any] = {
        "Type": "instant",
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": market.value},
    }
    if spot:
        request["SpotOptions"] = {"AllocationStrategy": "price-capacity-optimized"}
    else:
        request["OnDemandOptions"] = {"AllocationStrategy": "prioritized"}
    return Offer(market, request, template, tuple(places), nonce)


def _failures(answer: CreateFleetResultTypeDef) -> Iterator[Failure]:
    for error in answer.get("Errors", ()):
        place = error.get("LaunchTemplateAndOverrides", {}).get("Overrides", {})
        # AWS's message may hold an encoded policy of several kilobytes.
        message = error.get("ErrorMessage", "")[:300].rstrip(". ")
        yield Failure(error.get("ErrorCode", ""), message, place.get("InstanceType", ""), place.get("SubnetId", ""))


def _summary(failures: Sequence[Failure]) -> str:
    codes = dict.fromkeys(failure.code for failure in failures)
    return ", ".join(f"{code} for {_types(failures, code)}" for code in codes)


def _types(failures: Sequence[Failure], code: str) -> str:
    return ", ".join(dict.fromkeys(f.type or "all types" for f in failures if f.code == code))


def _judged(failures: Sequence[tuple[Market, Failure]]) -> CapacityError | CloudError:
    """Passing if any place that was tried may have a machine later; otherwise the first reason that forbids it."""
    telling = [(market, failure) for market, failure in failures if failure.code not in _SILENT]
    codes = {failure.code for _, failure in failures}
    if any(failure.code in _NO_CAPACITY for _, failure in telling) or not (telling or codes - {_NOT_TRIED}):
        told = _summary([failure for _, failure in failures]) or "it did not say why"
        return CapacityError(f"EC2 has no machine for the pool just now: {told}.")
    unsettled = [failure for _, failure in telling if _of_a_new_profile(failure)]
    if unsettled and len(unsettled) == len(telling):
        return UnsettledError(f"EC2 does not know the machines' instance profile: {unsettled[0].message}.")
    if telling:
        return _forbidden([each for each in telling if not _of_a_new_profile(each[1])])
    return CloudError(
        f"EC2 offers none of the wanted types in the pool's zones: {_summary([f for _, f in failures])}. "
        "Change HEARTH_EC2__TYPES, or deploy the pool in other subnets.",
        failures[0][1].code,
    )


def _of_a_new_profile(failure: Failure) -> bool:
    return failure.code == _PROFILE[0] and _PROFILE[1] in failure.message.lower()


def _forbidden(failures: Sequence[tuple[Market, Failure]]) -> CloudError:
    failure = failures[0][1]
    if failure.code in _QUOTA:
        counted = ((market, each.type) for market, each in failures if each.code in _QUOTA)
        quotas = dict.fromkeys(ec2_quota_name(market, kind) for market, kind in counted)
        return CloudError(
            f"The account's quota allows no such machine: {failure.message}. "
            f"Ask for more of {' or '.join(quotas)} in Service Quotas.",
            failure.code,
        )
    if failure.code in _DENIED:
        remedy = "`hearth infra policy caller` prints the policy that suffices"
        return CloudError(f"AWS does not permit the launch: {failure.message}. {remedy}.", failure.code)
    if failure.code.startswith("InvalidAMI"):
        return CloudError(
            f"The pool's image cannot be used: {failure.message}. Make another: hearth infra bake.", failure.code
        )
    if failure.code == "InvalidBlockDeviceMapping":
        remedy = "Raise HEARTH_EC2_STACK__DISK_GB and run `hearth infra up ec2`"
        return CloudError(f"EC2 cannot make the disk: {failure.message}. {remedy}.", failure.code)
    return CloudError(f"EC2 refused the launch: {failure.message} ({failure.code}).", failure.code)

"""Launch one machine: an EC2 Fleet of type instant over all types and zones, spot first where spot is allowed."""

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
# These say nothing of other places: a place was not tried, or a zone does not offer the type.
_NOT_TRIED = "UnfulfillableCapacity"
_SILENT = {_NOT_TRIED, "Unsupported", "InvalidFleetConfiguration"}
_QUOTA = {"VcpuLimitExceeded", "MaxSpotInstanceCountExceeded", "InstanceLimitExceeded"}
_PROFILE = ("InvalidParameterValue", "invalid iam instance profile")  # a new one: EC2 learns of it after a while
_DENIED = {"UnauthorizedOperation", "AccessDenied", "AuthFailure.ServiceLinkedRoleCreationNotPermitted"}


class UnsettledError(CapacityError):
    """EC2 does not know all of a new stack yet, and will in some minutes."""


@dataclass(frozen=True)
class Offer:
    """A request for a fleet: one market, and all places where a machine may be.

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
        """The parameters of CreateFleet. Equal requests have the same client token, so that AWS makes one machine."""
        template = {"LaunchTemplateSpecification": self.template, "Overrides": list(self.places)}
        request = {**self.base, "LaunchTemplateConfigs": [template]}
        digest = hashlib.sha256(json.dumps([self.nonce, request], sort_keys=True).encode()).hexdigest()
        return {**request, "ClientToken": digest[:40]}

    def without(self, tried: Collection[tuple[str, str]]) -> Offer | None:
        """Return the offer of the places that were not tried; None if that is none, or all."""
        left = tuple(place for place in self.places if (place["InstanceType"], place["SubnetId"]) not in tried)
        return replace(self, places=left) if 0 < len(left) < len(self.places) else None


@dataclass(frozen=True)
class Failure:
    """The reason why one place of a fleet has no machine."""

    code: str
    message: str
    type: str
    subnet: str = ""


def affordable(settings: Ec2Settings, region: str, book: Book) -> tuple[str, ...]:
    """Return the types within the highest price on demand. Warn if us-east-1's price decides."""
    if settings.max_price is None:
        return settings.types
    if (note := fallback_note(settings.types, region, book)) is not None:
        emit(RunWarning(f"HEARTH_EC2__MAX_PRICE: {note}"))
    prices = {each: on_demand_usd_per_hour(each, region, book) for each in settings.types}
    return tuple(each for each, price in prices.items() if price is not None and price <= settings.max_price)


def offers(
    settings: Ec2Settings, stack: Stack, subnets: Sequence[str], image: str, nonce: str, types: Sequence[str]
) -> Iterator[Offer]:
    """Generate the offers to try, in order. `types` are those that are allowed on demand: see `affordable`.

    The nonce is the same for all attempts at one launch, so that AWS makes one machine for two equal requests.

    Raises:
        InputError: no type is allowed at this price.
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


async def launch(aws: Aws, candidates: Iterable[Offer]) -> str:
    """Try offers until one brings a machine.

    Returns:
        The machine's id.

    Raises:
        CapacityError: there is no machine just now; trying again later may help.
        CloudError: a quota, a permission, or the image forbid it for good.
    """
    failures: list[tuple[Market, Failure]] = []
    for candidate in candidates:
        offer: Offer | None = candidate
        while offer is not None:
            emit(Progress(f"asking EC2 for a machine, {offer.market}"))
            response = await ask(aws.ec2.create_fleet, **offer.request)
            launched = [name for group in response.get("Instances", ()) for name in group.get("InstanceIds", ())]
            if launched:
                return launched[0]
            met = list(_failures(response)) or [Failure(_NOT_TRIED, "the fleet brought nothing", "")]
            failures += [(offer.market, failure) for failure in met]
            emit(RunWarning(f"No {offer.market} machine: {_summary(met)}."))
            tried = [failure for failure in met if failure.code != _NOT_TRIED]
            passing = all(failure.code in _NO_CAPACITY | _SILENT for failure in tried)
            # A fleet may not have tried every place of its request.
            offer = offer.without([(failure.type, failure.subnet) for failure in tried]) if passing else None
    raise _error_of(failures)


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
    price = {"MaxPrice": str(settings.max_price)} if spot and settings.max_price is not None else {}
    places: list[dict[str, Any]] = [
        {"ImageId": image, "InstanceType": each, "SubnetId": subnet, "Priority": float(rank), **price}
        for rank, each in enumerate(types)
        for subnet in subnets
    ]
    template = {"LaunchTemplateId": stack.launch_template, "Version": stack.launch_template_version}
    strategy = "price-capacity-optimized" if spot else "prioritized"
    request: dict[str, Any] = {
        "Type": "instant",
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": market.value},
        "SpotOptions" if spot else "OnDemandOptions": {"AllocationStrategy": strategy},
    }
    return Offer(market, request, template, tuple(places), nonce)


def _failures(response: CreateFleetResultTypeDef) -> Iterator[Failure]:
    for error in response.get("Errors", ()):
        place = error.get("LaunchTemplateAndOverrides", {}).get("Overrides", {})
        # AWS's message may hold an encoded policy of several kilobytes.
        message = error.get("ErrorMessage", "")[:300].rstrip(". ")
        yield Failure(error.get("ErrorCode", ""), message, place.get("InstanceType", ""), place.get("SubnetId", ""))


def _summary(failures: Sequence[Failure]) -> str:
    codes = dict.fromkeys(failure.code for failure in failures)
    return ", ".join(f"{code} for {_types(failures, code)}" for code in codes)


def _types(failures: Sequence[Failure], code: str) -> str:
    return ", ".join(dict.fromkeys(f.type or "all types" for f in failures if f.code == code))


def _error_of(failures: Sequence[tuple[Market, Failure]]) -> CapacityError | CloudError:
    """Return a passing error if a place may have a machine later; otherwise the first error that forbids one."""
    telling = [(market, failure) for market, failure in failures if failure.code not in _SILENT]
    codes = {failure.code for _, failure in failures}
    if any(failure.code in _NO_CAPACITY for _, failure in telling) or not (telling or codes - {_NOT_TRIED}):
        why = _summary([failure for _, failure in failures]) or "it did not say why"
        return CapacityError(f"EC2 has no machine for the pool just now: {why}.")
    unsettled = [failure for _, failure in telling if _is_new_profile(failure)]
    if unsettled and len(unsettled) == len(telling):
        return UnsettledError(f"EC2 does not know the machines' instance profile: {unsettled[0].message}.")
    if telling:
        return _forbidden([each for each in telling if not _is_new_profile(each[1])])
    return CloudError(
        f"EC2 offers none of the types in the pool's zones: {_summary([f for _, f in failures])}. "
        "Change HEARTH_EC2__TYPES, or deploy the pool in other subnets.",
        failures[0][1].code,
    )


def _is_new_profile(failure: Failure) -> bool:
    return failure.code == _PROFILE[0] and _PROFILE[1] in failure.message.lower()


def _forbidden(failures: Sequence[tuple[Market, Failure]]) -> CloudError:
    code, message = failures[0][1].code, failures[0][1].message
    if code in _QUOTA:
        counted = ((market, each.type) for market, each in failures if each.code in _QUOTA)
        quotas = " or ".join(dict.fromkeys(ec2_quota_name(market, kind) for market, kind in counted))
        why, remedy = "The account's quota allows no such machine", f"Ask for more of {quotas} in Service Quotas"
    elif code in _DENIED:
        why, remedy = "AWS does not permit the launch", "`hearth infra policy caller` prints the policy that suffices"
    elif code.startswith("InvalidAMI"):
        why, remedy = "The pool's image cannot be used", "Make another: hearth infra bake"
    elif code == "InvalidBlockDeviceMapping":
        why, remedy = "EC2 cannot make the disk", "Raise HEARTH_EC2_STACK__DISK_GB and run `hearth infra up ec2`"
    else:
        return CloudError(f"EC2 refused the launch: {message} ({code}).", code)
    return CloudError(f"{why}: {message}. {remedy}.", code)

"""What is made of a fleet's answer, and what is told where it brings no machine."""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore.stub import ANY

from tasks.backends.ec2.fleet import launch, offers
from tasks.backends.ec2.launch import launch_one
from tasks.core.errors import CapacityError, CloudError
from tasks.core.events import RunWarning, subscribe
from tasks.leasing.lease import Lease
from tests.unit.tasks.backends.ec2.stubbed import ID, LEASE, STACK, Stubbed, offered, page, places, pool_of


def brought(*instances: str, errors: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
    """A fleet's answer; errors as (code, type)."""
    told = [
        {
            "ErrorCode": code,
            "ErrorMessage": f"{code}, as AWS puts it.",
            "LaunchTemplateAndOverrides": {"Overrides": {"InstanceType": kind}} if kind else {},
        }
        for code, kind in errors
    ]
    return {"Instances": [{"InstanceIds": list(instances)}] if instances else [], "Errors": told}


def untried(code: str, place: dict[str, Any]) -> dict[str, Any]:
    """A fleet's answer that tells of one place and says nothing of the others."""
    overrides = {name: place[name] for name in ("InstanceType", "SubnetId")}
    error = {"ErrorCode": code, "ErrorMessage": "No.", "LaunchTemplateAndOverrides": {"Overrides": overrides}}
    return {"Instances": [], "Errors": [error]}


async def refused(aws: Stubbed, *fleets: tuple[tuple[str, str], ...], **settings: Any) -> Exception:
    """What is raised when each offer brings only these errors."""
    for errors in fleets:
        aws.answers("ec2", "create_fleet", brought(errors=errors))
    with pytest.raises((CapacityError, CloudError)) as caught:
        await launch(aws, offered(**settings))
    return caught.value


class TestLaunch:
    async def test_the_machine_of_the_first_offer_that_brings_one_is_taken(self, aws: Stubbed):
        aws.answers("ec2", "create_fleet", brought(errors=(("InsufficientInstanceCapacity", "g4dn.xlarge"),)))
        aws.answers("ec2", "create_fleet", brought(ID))
        heard: list[object] = []
        with subscribe(heard.append):
            assert await launch(aws, offered()) == ID
        assert RunWarning("No spot machine: InsufficientInstanceCapacity for g4dn.xlarge.") in heard

    async def test_a_machine_counts_though_other_places_had_none(self, aws: Stubbed):
        aws.answers("ec2", "create_fleet", brought(ID, errors=(("InsufficientInstanceCapacity", "g4dn.xlarge"),)))
        assert await launch(aws, offered()) == ID

    @pytest.mark.parametrize(
        "code",
        [
            "InsufficientInstanceCapacity",
            "UnfulfillableCapacity",
            "SpotMaxPriceTooLow",
            "InsufficientFreeAddressesInSubnet",
            "RequestLimitExceeded",
        ],
    )
    async def test_want_of_capacity_passes_and_names_the_types(self, aws: Stubbed, code: str):
        met = ((code, "g4dn.xlarge"), (code, "g5.xlarge"), (code, "g5.xlarge"))
        error = await refused(aws, met, spot_policy="spot")
        assert isinstance(error, CapacityError)
        assert str(error) == f"EC2 has no machine for the pool just now: {code} for g4dn.xlarge, g5.xlarge."

    @pytest.mark.parametrize("code", ["Unsupported", "InvalidFleetConfiguration"])
    async def test_types_that_no_zone_offers_are_reported_at_once(self, aws: Stubbed, code: str):
        error = await refused(aws, ((code, "g4dn.xlarge"), (code, "g5.xlarge")), spot_policy="spot")
        assert isinstance(error, CloudError)
        assert "offers none of the types" in str(error)

    @pytest.mark.parametrize("code", ["UnfulfillableCapacity", "Unsupported", "InvalidFleetConfiguration"])
    async def test_places_that_say_nothing_do_not_hide_a_quota(self, aws: Stubbed, code: str):
        error = await refused(
            aws, ((code, "g5.xlarge"), ("MaxSpotInstanceCountExceeded", "g4dn.xlarge")), spot_policy="spot"
        )
        assert isinstance(error, CloudError)
        assert error.code == "MaxSpotInstanceCountExceeded"

    async def test_a_fleet_that_brings_nothing_and_does_not_say_why_passes(self, aws: Stubbed):
        error = await refused(aws, (), spot_policy="spot")
        assert isinstance(error, CapacityError)
        assert "UnfulfillableCapacity for all types" in str(error)

    @pytest.mark.parametrize(
        ("policy", "code", "kind", "quota"),
        [
            ("spot", "MaxSpotInstanceCountExceeded", "g4dn.xlarge", "All G and VT Spot Instance Requests (L-3819A6DF)"),
            ("spot", "MaxSpotInstanceCountExceeded", "", "All G and VT Spot Instance Requests (L-3819A6DF)"),
            ("on_demand", "VcpuLimitExceeded", "g4dn.xlarge", "Running On-Demand G and VT instances (L-DB2E81BA)"),
            ("on_demand", "VcpuLimitExceeded", "c5.2xlarge", "Running On-Demand Standard"),
            ("spot", "MaxSpotInstanceCountExceeded", "c5.2xlarge", "All Standard"),
        ],
    )
    async def test_a_quota_is_named_as_service_quotas_shows_it(
        self, aws: Stubbed, policy: str, code: str, kind: str, quota: str
    ):
        error = await refused(aws, ((code, kind),), spot_policy=policy)
        assert isinstance(error, CloudError)
        assert error.code == code
        assert f"Ask for more of {quota}" in str(error)

    async def test_quotas_of_both_markets_are_named_together(self, aws: Stubbed):
        spot, on_demand = ("MaxSpotInstanceCountExceeded", "g4dn.xlarge"), ("VcpuLimitExceeded", "g4dn.xlarge")
        error = await refused(aws, (spot,), (on_demand,))
        assert re.search(r"All G and VT Spot.* or Running On-Demand G and VT.* in Service Quotas", str(error))

    async def test_a_quota_in_one_place_and_want_of_capacity_in_another_pass(self, aws: Stubbed):
        spot, on_demand = ("MaxSpotInstanceCountExceeded", "g4dn.xlarge"), ("InsufficientInstanceCapacity", "g5.xlarge")
        assert isinstance(await refused(aws, (spot,), (on_demand,)), CapacityError)

    @pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "Unsupported"])
    async def test_places_that_a_fleet_did_not_try_are_asked_for_by_themselves(self, aws: Stubbed, code: str):
        first, *others = places(offered(spot_policy="spot")[0])
        (offer,) = offered(spot_policy="spot")
        aws.answers("ec2", "create_fleet", untried(code, first), offer.request)
        (template,) = offer.request["LaunchTemplateConfigs"]
        asked = {"LaunchTemplateConfigs": [{**template, "Overrides": others}], "ClientToken": ANY}
        aws.answers("ec2", "create_fleet", brought(ID), {**offer.request, **asked})
        assert await launch(aws, [offer]) == ID

    async def test_untried_places_are_not_requested_after_a_quota_error(self, aws: Stubbed):
        (offer,) = offered(spot_policy="spot")
        aws.answers("ec2", "create_fleet", untried("MaxSpotInstanceCountExceeded", places(offer)[0]))
        with pytest.raises(CloudError, match="quota"):
            await launch(aws, [offer])

    async def test_a_missing_permission_says_how_to_get_it(self, aws: Stubbed):
        error = await refused(aws, (("UnauthorizedOperation", "g4dn.xlarge"),), spot_policy="spot")
        assert isinstance(error, CloudError)
        assert "hearth infra policy caller" in str(error)

    async def test_an_image_that_cannot_be_used_says_how_to_make_another(self, aws: Stubbed):
        error = await refused(aws, (("InvalidAMIID.NotFound", "g4dn.xlarge"),), spot_policy="spot")
        assert "hearth infra bake" in str(error)

    async def test_any_other_refusal_is_reported_in_aws_s_words(self, aws: Stubbed):
        error = await refused(aws, (("InvalidParameterValue", "g4dn.xlarge"),), spot_policy="spot")
        assert str(error) == ("EC2 refused the launch: InvalidParameterValue, as AWS puts it (InvalidParameterValue).")

    async def test_an_encoded_policy_of_several_kilobytes_is_cut(self, aws: Stubbed):
        answer = brought(errors=(("UnauthorizedOperation", "g4dn.xlarge"),))
        answer["Errors"][0]["ErrorMessage"] = "Encoded authorization failure message: " + "x" * 4000
        aws.answers("ec2", "create_fleet", answer)
        with pytest.raises(CloudError) as caught:
            await launch(aws, offered(spot_policy="spot"))
        assert len(str(caught.value)) < 500


def subnets(*zones: str) -> dict[str, Any]:
    return {"Subnets": [{"SubnetId": f"subnet-{zone[-1]}", "AvailabilityZone": zone} for zone in zones]}


class TestZones:
    """HEARTH_EC2__ZONES narrows the pool's subnets down."""

    async def test_only_subnets_of_the_wanted_zones_are_asked_for(self, aws: Stubbed):
        aws.answers("dynamodb", "update_item", {})
        aws.answers("dynamodb", "get_item", {"Item": {}})
        aws.answers("ec2", "describe_instances", page())
        asked = {"SubnetIds": ["subnet-a", "subnet-b"]}
        aws.answers("ec2", "describe_subnets", subnets("us-east-1a", "us-east-1b"), asked)
        aws.answers("ssm", "get_parameter", {"Parameter": {"Value": "ami-1"}})
        aws.answers("dynamodb", "update_item", {})  # the lock is prolonged
        pool = pool_of(aws, zones=("us-east-1b",), spot_policy="spot", types=("g4dn.xlarge",))
        (offer,) = offers(pool.settings.ec2, STACK, ["subnet-b"], "ami-1", "default 0", ())
        aws.answers("ec2", "create_fleet", brought(ID), offer.request)
        for call in ("put_item", "update_item", "update_item", "update_item"):
            aws.answers("dynamodb", call, {})  # the lease; the launch has ended; the lock is let go
        lease = Lease("paper", 1, 2e9)
        assert await launch_one(pool, lambda _: lease, ()) == (ID, lease)

    async def test_zones_that_the_pool_lacks_are_reported_with_those_it_has(self, aws: Stubbed):
        aws.answers("dynamodb", "update_item", {})
        aws.answers("dynamodb", "get_item", {"Item": {}})
        aws.answers("ec2", "describe_instances", page())
        aws.answers("ec2", "describe_subnets", subnets("us-east-1a", "us-east-1b"))
        aws.answers("dynamodb", "update_item", {})
        with pytest.raises(CloudError, match="no subnet in us-east-1f; it has us-east-1a, us-east-1b"):
            await launch_one(pool_of(aws, zones=("us-east-1f",)), lambda _: LEASE, ())

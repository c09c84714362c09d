"""What Hearth asks of AWS, held against botocore's own models, and what it makes of a fleet's answer."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.stub import ANY, Stubber
from botocore.validate import validate_parameters

from tasks.aws.client import Aws
from tasks.backends.ec2.connection import open_connection
from tasks.backends.ec2.fleet import Offer, affordable, launch, offers
from tasks.backends.ec2.instances import (
    Machine,
    MachineState,
    Market,
    keep_disk_on_power_off,
    list_machines,
    start,
    stop,
    terminate,
)
from tasks.backends.ec2.instances import machine as described
from tasks.backends.ec2.launch import launch_one
from tasks.backends.ec2.outputs import Stack
from tasks.backends.ec2.pool import Pool, log_tail, open_pool, parameter
from tasks.backends.ec2.reaper import sweep_disks
from tasks.backends.ec2.spending import usd_per_hour
from tasks.core.errors import CapacityError, CloudError, InputError, ServerError
from tasks.core.events import RunWarning, subscribe
from tasks.costs.attribution import Rates
from tasks.costs.price_book import Book, Price, shipped
from tasks.leasing.launch_lock import LaunchLock, LaunchLocks
from tasks.leasing.lease import Lease, Record
from tasks.leasing.leases import Records
from tasks.leasing.table import Table
from tasks.leasing.usage_ledger import Started, Stopped
from tasks.settings.ec2 import Access, Ec2Settings, SpotPolicy
from tasks.settings.settings import Settings

ID = "i-0123456789abcdef0"
STACK = Stack(
    pool="default",
    launch_template="lt-0123456789abcdef0",
    launch_template_version="3",
    table="hearth-default",
    log_group="hearth-default",
    ami_parameter="/hearth/default/ami",
    subnets=("subnet-a", "subnet-b"),
    access=Access.PRIVATE,
    port=11434,
    slots=8,
    config="0123456789ab",
)
MODEL = botocore.session.Session().get_service_model("ec2").operation_model("CreateFleet").input_shape


def offered(nonce: str = "default 0", stack: Stack = STACK, image: str = "ami-1", **settings: Any) -> list[Offer]:
    chosen = Ec2Settings(**{"types": ("g4dn.xlarge", "g5.xlarge"), **settings})
    return list(offers(chosen, stack, stack.subnets, image, nonce, affordable(chosen, "us-east-1", shipped())))


def places(offer: Offer) -> list[dict[str, Any]]:
    (config,) = offer.request["LaunchTemplateConfigs"]
    return config["Overrides"]


def types(offer: Offer) -> list[str]:
    return list(dict.fromkeys(place["InstanceType"] for place in places(offer)))


def token(offer: Offer) -> str:
    return offer.request["ClientToken"]


class TestOffers:
    @pytest.mark.parametrize(
        ("policy", "markets"),
        [("auto", [Market.SPOT, Market.ON_DEMAND]), ("spot", [Market.SPOT]), ("on_demand", [Market.ON_DEMAND])],
    )
    def test_the_policy_says_which_markets_are_asked_and_spot_comes_first(self, policy: str, markets: list[Market]):
        assert [offer.market for offer in offered(spot_policy=policy)] == markets

    @pytest.mark.parametrize("policy", SpotPolicy)
    @pytest.mark.parametrize("price", [None, 0.6])
    def test_every_request_fits_the_model_of_create_fleet(self, policy: SpotPolicy, price: float | None):
        for offer in offered(spot_policy=policy, max_price=price):
            validate_parameters(offer.request, MODEL)
            assert (
                len(token(offer)) <= 64
            )  # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html

    def test_one_machine_at_once_of_the_pool_s_template_is_asked_for(self):
        for offer in offered():
            request = offer.request
            (config,) = request["LaunchTemplateConfigs"]
            assert request["Type"] == "instant"
            target = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": offer.market.value}
            assert request["TargetCapacitySpecification"] == target
            template = {"LaunchTemplateId": "lt-0123456789abcdef0", "Version": "3"}
            assert config["LaunchTemplateSpecification"] == template
            assert {place["ImageId"] for place in places(offer)} == {"ami-1"}

    def test_the_preferred_type_is_tried_in_every_zone_before_the_next(self):
        for offer in offered():
            assert [(place["InstanceType"], place["SubnetId"], place["Priority"]) for place in places(offer)] == [
                ("g4dn.xlarge", "subnet-a", 0.0),
                ("g4dn.xlarge", "subnet-b", 0.0),
                ("g5.xlarge", "subnet-a", 1.0),
                ("g5.xlarge", "subnet-b", 1.0),
            ]

    def test_on_demand_keeps_to_that_order_and_spot_goes_where_it_stays_longest(self):
        spot, on_demand = offered()
        assert on_demand.request["OnDemandOptions"] == {"AllocationStrategy": "prioritized"}
        assert spot.request["SpotOptions"] == {"AllocationStrategy": "price-capacity-optimized"}


class TestPriceCap:
    def test_spot_is_bid_for_at_the_cap_whatever_the_type_costs_on_demand(self):
        (spot,) = offered(spot_policy="spot", max_price=0.3)
        assert {place["MaxPrice"] for place in places(spot)} == {"0.3"}
        assert types(spot) == ["g4dn.xlarge", "g5.xlarge"]

    def test_without_a_cap_nothing_is_said_of_a_price(self):
        assert not any("MaxPrice" in place for offer in offered() for place in places(offer))

    def test_on_demand_only_types_within_the_cap_are_asked_for(self):
        (on_demand,) = offered(spot_policy="on_demand", max_price=0.6)
        assert types(on_demand) == ["g4dn.xlarge"]
        assert not any("MaxPrice" in place for place in places(on_demand))

    def test_a_type_that_costs_just_the_cap_is_within_it(self):
        assert types(offered(spot_policy="on_demand", max_price=0.526)[0]) == ["g4dn.xlarge"]

    def test_a_type_whose_price_is_unknown_is_not_bought_under_a_cap(self):
        kinds = ("p4d.24xlarge", "g4dn.xlarge")
        assert types(offered(spot_policy="on_demand", max_price=100, types=kinds)[0]) == ["g4dn.xlarge"]
        assert types(offered(spot_policy="on_demand", types=kinds)[0]) == list(kinds)

    def test_a_type_is_judged_by_its_price_in_the_pool_s_region(self):
        capped = Ec2Settings(types=("g4dn.xlarge",), max_price=0.6)
        assert affordable(capped, "us-west-2", shipped()) == ("g4dn.xlarge",)  # 0.526
        assert affordable(capped, "eu-central-1", shipped()) == ()  # 0.658

    def test_a_price_that_aws_was_asked_for_goes_before_the_book_s(self):
        capped = Ec2Settings(types=("g4dn.xlarge",), max_price=0.6)
        asked = Price(item="g4dn.xlarge", region="eu-central-1", usd=0.55, source="skypilot")
        book = shipped().merged(Book(sources={}, prices=(asked,)))
        assert affordable(capped, "eu-central-1", book) == ("g4dn.xlarge",)

    def test_where_the_book_lacks_the_region_us_east_1_s_price_is_taken_and_it_is_said(self):
        told: list[Any] = []
        capped = Ec2Settings(types=("g4dn.xlarge", "p4d.24xlarge"), max_price=0.6)
        with subscribe(told.append):
            assert affordable(capped, "sa-east-1", shipped()) == ("g4dn.xlarge",)
        (caution,) = told
        assert "lacks sa-east-1's price of g4dn.xlarge: us-east-1's is taken" in caution.what

    def test_where_no_type_is_cheap_enough_on_demand_spot_alone_is_tried(self):
        assert [offer.market for offer in offered(max_price=0.2)] == [Market.SPOT]

    def test_on_demand_alone_and_too_cheap_is_a_mistake_that_is_explained(self):
        with pytest.raises(InputError, match=r"at most 0\.2 USD.*HEARTH_EC2__MAX_PRICE"):
            offered(spot_policy="on_demand", max_price=0.2)


class TestClientToken:
    def test_the_same_launch_has_the_same_token(self):
        assert list(map(token, offered())) == list(map(token, offered()))

    def test_another_launch_has_another(self):
        assert not {*map(token, offered("default 0"))} & {*map(token, offered("default 1"))}

    def test_each_market_has_its_own(self):
        spot, on_demand = offered()
        assert token(spot) != token(on_demand)

    @pytest.mark.parametrize("changed", [{"image": "ami-2"}, {"types": ("g5.xlarge",)}, {"max_price": 0.9}])
    def test_a_request_that_asks_for_something_else_has_another_since_aws_refuses_a_changed_one(
        self, changed: dict[str, Any]
    ):
        (plain,), (other,) = offered(spot_policy="spot"), offered(spot_policy="spot", **changed)
        assert token(plain) != token(other)


class Stubbed(Aws):
    """AWS's real clients with scripted answers: what is asked is held against botocore's models."""

    def __init__(self) -> None:
        super().__init__("us-east-1")
        self.stubs: dict[int, Stubber] = {}

    def answers(self, service: str, call: str, answer: dict[str, Any], asked: dict[str, Any] | None = None) -> None:
        """The next call of a client, such as `ec2_at_once`; with what parameters, if that is given."""
        self._stub(service).add_response(call, answer, asked)

    def refuses(self, service: str, call: str, code: str, message: str = "No.") -> None:
        """The next call of a client fails."""
        self._stub(service).add_client_error(call, code, message)

    def _stub(self, service: str) -> Stubber:
        client = getattr(self, service)
        if id(client) not in self.stubs:
            self.stubs[id(client)] = Stubber(client)
            self.stubs[id(client)].activate()
        return self.stubs[id(client)]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubbed]:
    """Every answer that is scripted must have been asked for."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAHEARTHHEARTHTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    stubbed = Stubbed()
    yield stubbed
    for stub in stubbed.stubs.values():
        stub.assert_no_pending_responses()


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
    async def test_types_that_no_zone_offers_are_told_at_once(self, aws: Stubbed, code: str):
        error = await refused(aws, ((code, "g4dn.xlarge"), (code, "g5.xlarge")), spot_policy="spot")
        assert isinstance(error, CloudError)
        assert "offers none of the wanted types" in str(error)

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

    async def test_places_that_were_not_tried_are_not_asked_for_once_a_quota_has_told(self, aws: Stubbed):
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

    async def test_any_other_refusal_is_told_in_aws_s_words(self, aws: Stubbed):
        error = await refused(aws, (("InvalidParameterValue", "g4dn.xlarge"),), spot_policy="spot")
        assert str(error) == ("EC2 refused the launch: InvalidParameterValue, as AWS puts it (InvalidParameterValue).")

    async def test_an_encoded_policy_of_several_kilobytes_is_cut(self, aws: Stubbed):
        answer = brought(errors=(("UnauthorizedOperation", "g4dn.xlarge"),))
        answer["Errors"][0]["ErrorMessage"] = "Encoded authorization failure message: " + "x" * 4000
        aws.answers("ec2", "create_fleet", answer)
        with pytest.raises(CloudError) as caught:
            await launch(aws, offered(spot_policy="spot"))
        assert len(str(caught.value)) < 500


def instance(**known: Any) -> dict[str, Any]:
    return {
        "InstanceId": ID,
        "InstanceType": "g4dn.xlarge",
        "State": {"Name": "running"},
        "LaunchTime": datetime(2026, 11, 23, 10, tzinfo=UTC),
        "Placement": {"AvailabilityZone": "us-east-1a"},
        "PrivateIpAddress": "10.0.0.1",
        "Tags": [{"Key": "hearth:pool", "Value": "default"}, {"Key": "hearth:config", "Value": STACK.config}],
        **known,
    }


def page(*instances: dict[str, Any]) -> dict[str, Any]:
    return {"Reservations": [{"Instances": [each]} for each in instances]}


def pool_of(aws: Aws, **settings: Any) -> Pool:
    table = Table(aws, STACK.table)
    stack = Stack(**{**vars(STACK), **settings.pop("stack", {})})
    return Pool(aws, stack, Records(table), LaunchLocks(table), Settings(ec2=settings))


SPOT = instance(InstanceLifecycle="spot", SpotInstanceRequestId="sir-12345678")


async def seen(aws: Stubbed, **known: Any) -> Machine:
    aws.answers("ec2", "describe_instances", page(instance(**known)), {"InstanceIds": [ID]})
    found = await described(aws, ID)
    assert found is not None
    return found


class TestDescriptions:
    """Of machines: what is asked, and what is made of the answer."""

    async def test_a_pool_s_machines_are_found_by_their_tag(self, aws: Stubbed):
        asked = {"Filters": [{"Name": "tag:hearth:pool", "Values": ["default"]}]}
        aws.answers("ec2", "describe_instances", page(instance()), asked)
        (found,) = await list_machines(aws, "default")
        assert (found.id, found.kind, found.config) == (ID, "g4dn.xlarge on-demand in us-east-1a", STACK.config)
        assert found.launched_at == datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp()

    async def test_all_pages_are_read(self, aws: Stubbed):
        first = {**page(instance()), "NextToken": "more"}
        filters = [{"Name": "tag:hearth:pool", "Values": ["default"]}]
        aws.answers("ec2", "describe_instances", first, {"Filters": filters})
        second = page(instance(InstanceId="i-2"))
        aws.answers("ec2", "describe_instances", second, {"Filters": filters, "NextToken": "more"})
        assert [each.id for each in await list_machines(aws, "default")] == [ID, "i-2"]

    async def test_what_ec2_does_not_know_is_none(self, aws: Stubbed):
        aws.refuses("ec2", "describe_instances", "InvalidInstanceID.NotFound")
        assert await described(aws, ID) is None

    async def test_a_missing_permission_is_not_taken_for_a_missing_machine(self, aws: Stubbed):
        aws.refuses("ec2", "describe_instances", "UnauthorizedOperation")
        with pytest.raises(CloudError, match="does not permit DescribeInstances"):
            await described(aws, ID)

    async def test_a_terminated_machine_without_placement_or_address_is_described(self, aws: Stubbed):
        bare = {"InstanceId": ID, "InstanceType": "g4dn.xlarge", "State": {"Name": "terminated"}}
        aws.answers("ec2", "describe_instances", page(bare))
        found = await described(aws, ID)
        assert found.state is MachineState.TERMINATED
        assert not found.there

    @pytest.mark.parametrize(
        ("tag", "why"),
        [
            ("2026-11-23T10:02:00Z spot-interruption", "spot-interruption"),
            ("2026-11-23T10:02:00Z", "its end was announced"),
        ],
    )
    async def test_a_notice_is_when_and_why(self, aws: Stubbed, tag: str, why: str):
        found = await seen(aws, Tags=[{"Key": "hearth:notice", "Value": tag}])
        assert found.notice.why == why
        assert found.notice.at == datetime(2026, 11, 23, 10, 2, tzinfo=UTC).timestamp()

    @pytest.mark.parametrize("tag", ["", "soon", "2026-11-23T09:59:00Z lifetime"])
    async def test_rubbish_and_a_notice_from_before_the_last_start_are_none(self, aws: Stubbed, tag: str):
        assert (await seen(aws, Tags=[{"Key": "hearth:notice", "Value": tag}])).notice is None

    async def test_a_running_spot_machine_s_request_is_looked_at_for_ec2_s_mark(self, aws: Stubbed):
        aws.answers("ec2", "describe_instances", page(SPOT))
        since = datetime(2026, 11, 23, 10, 1, tzinfo=UTC)
        mark = {
            "SpotInstanceRequestId": "sir-12345678",
            "Status": {"Code": "marked-for-termination", "UpdateTime": since},
        }
        asked = {"Filters": [{"Name": "spot-instance-request-id", "Values": ["sir-12345678"]}]}
        aws.answers("ec2", "describe_spot_instance_requests", {"SpotInstanceRequests": [mark]}, asked)
        found = await described(aws, ID)
        assert found.market is Market.SPOT
        assert found.notice.at == since.timestamp() + 120
        assert "marked-for-termination" in found.notice.why

    async def test_a_fulfilled_request_is_no_notice(self, aws: Stubbed):
        aws.answers("ec2", "describe_instances", page(SPOT))
        mark = {"SpotInstanceRequestId": "sir-12345678", "Status": {"Code": "fulfilled"}}
        aws.answers("ec2", "describe_spot_instance_requests", {"SpotInstanceRequests": [mark]})
        assert (await described(aws, ID)).notice is None


class TestCalls:
    """Each is asked as botocore's model of it has it."""

    async def test_start(self, aws: Stubbed):
        aws.answers("ec2", "start_instances", {}, {"InstanceIds": [ID]})
        await start(aws, ID)

    async def test_stop_is_not_tried_for_long(self, aws: Stubbed):
        aws.answers("ec2_at_once", "stop_instances", {}, {"InstanceIds": [ID]})
        await stop(aws, ID, 9e9)
        config = aws.ec2_at_once.meta.config
        assert (config.connect_timeout + config.read_timeout) * config.retries["total_max_attempts"] < 35

    @pytest.mark.parametrize("act", [stop, terminate])
    async def test_what_got_too_late_is_not_asked_any_more(self, aws: Stubbed, act: Callable[..., Any]):
        with pytest.raises(CloudError, match=f"{ID} was not stopped: it took too long"):
            await act(aws, ID, time.time() - 1)

    async def test_terminate(self, aws: Stubbed):
        aws.answers("ec2_at_once", "terminate_instances", {}, {"InstanceIds": [ID]})
        await terminate(aws, ID, 9e9)

    async def test_terminate_of_what_is_gone_is_no_error(self, aws: Stubbed):
        aws.refuses("ec2_at_once", "terminate_instances", "InvalidInstanceID.NotFound")
        await terminate(aws, ID, 9e9)

    async def test_keeping_the_disk_on_power_off(self, aws: Stubbed):
        asked = {"InstanceId": ID, "InstanceInitiatedShutdownBehavior": {"Value": "stop"}}
        aws.answers("ec2", "modify_instance_attribute", {}, asked)
        await keep_disk_on_power_off(aws, ID)

    async def test_a_secret_is_decrypted(self, aws: Stubbed):
        asked = {"Name": "/hearth/default/token", "WithDecryption": True}
        aws.answers("ssm", "get_parameter", {"Parameter": {"Value": "abc"}}, asked)
        assert await parameter(pool_of(aws), "/hearth/default/token") == "abc"

    async def test_a_missing_parameter_says_how_it_is_made(self, aws: Stubbed):
        aws.refuses("ssm", "get_parameter", "ParameterNotFound")
        with pytest.raises(CloudError, match=r"/hearth/default/token is missing.*hearth infra up ec2"):
            await parameter(pool_of(aws), "/hearth/default/token")

    async def test_the_log_s_end_is_asked_for(self, aws: Stubbed):
        asked = {"logGroupName": "hearth-default", "logStreamName": ID, "limit": 5, "startFromHead": False}
        events = {"events": [{"message": "one"}, {"message": " two\n"}, {"message": " "}]}
        aws.answers("logs", "get_log_events", events, asked)
        assert await log_tail(pool_of(aws), ID) == "one | two"

    @pytest.mark.parametrize("silent", [True, False], ids=["no stream", "an empty stream"])
    async def test_where_nothing_was_logged_the_console_s_latest_output_is_asked_for(self, aws: Stubbed, silent: bool):
        if silent:
            aws.refuses("logs", "get_log_events", "ResourceNotFoundException")
        else:
            aws.answers("logs", "get_log_events", {"events": []})
        output = base64.b64encode(b"".join(b"line %d\r\n" % n for n in range(9))).decode()
        aws.answers("ec2", "get_console_output", {"Output": output}, {"InstanceId": ID, "Latest": True})
        assert await log_tail(pool_of(aws), ID) == "line 4 | line 5 | line 6 | line 7 | line 8"

    async def test_no_log_at_all_is_none(self, aws: Stubbed):
        aws.refuses("logs", "get_log_events", "ResourceNotFoundException")
        aws.refuses("ec2", "get_console_output", "UnsupportedOperation")
        assert await log_tail(pool_of(aws), ID) is None

    async def test_a_spot_price_of_the_machine_s_zone(self, aws: Stubbed):
        asked = {
            "AvailabilityZone": "us-east-1a",
            "InstanceTypes": ["g4dn.xlarge"],
            "ProductDescriptions": ["Linux/UNIX"],
            "StartTime": ANY,
            "MaxResults": 1,
        }
        aws.answers("ec2", "describe_instances", page(instance(InstanceLifecycle="spot")))
        aws.answers("ec2", "describe_spot_price_history", {"SpotPriceHistory": [{"SpotPrice": "0.157800"}]}, asked)
        assert await usd_per_hour(aws, await described(aws, ID)) == 0.1578

    async def test_disks_that_no_machine_has_are_deleted_when_they_are_old(self, aws: Stubbed):
        asked = {
            "Filters": [
                {"Name": "tag:hearth:pool", "Values": ["default"]},
                {"Name": "status", "Values": ["available"]},
            ]
        }
        old, young = datetime(2026, 1, 1, tzinfo=UTC), datetime.now(UTC)
        disks = [{"VolumeId": "vol-old", "CreateTime": old}, {"VolumeId": "vol-young", "CreateTime": young}]
        aws.answers("ec2", "describe_volumes", {"Volumes": disks}, asked)
        aws.answers("ec2", "delete_volume", {}, {"VolumeId": "vol-old"})
        assert await sweep_disks(pool_of(aws)) == ("vol-old",)

    async def test_a_tunnel_forwards_ollama_s_port(self, aws: Stubbed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        plugin = tmp_path / "session-manager-plugin"
        plugin.write_text("#!/bin/sh\nexit 7\n")
        plugin.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        ports = {"portNumber": ["11434"], "localPortNumber": ANY}
        asked = {"Target": ID, "DocumentName": "AWS-StartPortForwardingSession", "Parameters": ports}
        aws.answers("ssm", "start_session", {"SessionId": "s", "TokenValue": "t", "StreamUrl": "wss://s"}, asked)
        pool = pool_of(aws, stack={"access": Access.TUNNEL})
        machine = await seen(aws)
        with pytest.raises(ServerError, match=f"tunnel to {ID} ended at once .exit code 7."):
            await open_connection(pool, machine)

    async def test_the_stack_s_outputs_are_the_pool(self, aws: Stubbed):
        outputs = {
            "LaunchTemplateId": STACK.launch_template,
            "LaunchTemplateVersion": "3",
            "TableName": "hearth-default",
            "LogGroupName": "hearth-default",
            "AmiParameter": "/hearth/default/ami",
            "Subnets": "subnet-a,subnet-b",
            "Access": "private",
            "Port": "11434",
            "Slots": "8",
            "Config": STACK.config,
        }
        told = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
        stack = {
            "StackName": "hearth-default",
            "CreationTime": datetime.now(UTC),
            "StackStatus": "CREATE_COMPLETE",
            "Outputs": told,
        }
        aws.answers("cloudformation", "describe_stacks", {"Stacks": [stack]}, {"StackName": "hearth-default"})
        assert (await open_pool(Settings(), aws)).stack == STACK


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

    async def test_zones_that_the_pool_does_not_have_are_told_with_those_it_has(self, aws: Stubbed):
        aws.answers("dynamodb", "update_item", {})
        aws.answers("dynamodb", "get_item", {"Item": {}})
        aws.answers("ec2", "describe_instances", page())
        aws.answers("ec2", "describe_subnets", subnets("us-east-1a", "us-east-1b"))
        aws.answers("dynamodb", "update_item", {})
        with pytest.raises(CloudError, match="no subnet in us-east-1f; it has us-east-1a, us-east-1b"):
            await launch_one(pool_of(aws, zones=("us-east-1f",)), lambda _: LEASE, ())


class Expressions:
    """Stands for DynamoDB's client: it keeps what it is asked, after botocore's model has been held against it."""

    def __init__(self, aws: Stubbed) -> None:
        self.asked: list[dict[str, Any]] = []
        aws.dynamodb.meta.events.register("provide-client-params.dynamodb", self._keep)

    def _keep(self, params: dict[str, Any], **_: Any) -> None:
        self.asked.append(params)


LEASE = Lease("paper on desk", 2, 2e9, "abc")
LOCK = LaunchLock("abc", 4, ID, 1e9)
STOP = Stopped(2e9, "idle", exact=True, keeps_disk=True)
START = Started(ID, "g4dn.xlarge spot in us-east-1a", 1e9, Rates(0.2, 0.526))


def seen_with(*leases: Lease) -> Record:
    return Record(ID, leases, version=7, closed_by="abc")


async def locked(locks: LaunchLocks) -> None:
    async with locks.held("default") as lock:
        assert lock is not None


class TestRecordsCalls:
    """What is asked of DynamoDB, which refuses placeholders that are named and not used, or used and not named."""

    @pytest.mark.parametrize(
        ("call", "steps"),
        [
            (lambda r, _: r.get(ID), ["get_item"]),
            (lambda r, _: r.take(ID, LEASE), ["put_item", "update_item"]),
            (lambda r, _: r.renew(ID, LEASE, 3e9), ["update_item"]),
            (lambda r, _: r.release(ID, LEASE), ["update_item", "put_item"]),
            (lambda r, _: r.close(seen_with()), ["put_item", "update_item"]),
            (lambda r, _: r.close(seen_with(LEASE, Lease("dead", 1, 1.0))), ["put_item", "update_item"]),
            (lambda r, _: r.reopen(seen_with()), ["update_item"]),
            (lambda r, _: r.note_stopped(ID, 1e9), ["put_item", "update_item"]),
            (lambda r, _: r.forget(ID), ["delete_item"]),
            (lambda r, _: r.ledger.started(START), ["put_item"]),
            (lambda r, _: r.ledger.up(ID, 1e9, 2e9), ["update_item"]),
            (lambda r, _: r.ledger.seen(ID, 1e9, 2e9), ["update_item"]),
            (
                lambda r, _: r.ledger.stopped(ID, 1e9, STOP),
                ["update_item"],
            ),
            (lambda r, _: r.ledger.gone(ID, 1e9, 2e9), ["update_item"]),
            (lambda _, locks: locks.hold_on("default", LOCK), ["update_item"]),
            (lambda _, locks: locks.ended("default", LOCK, ID), ["update_item"]),
            (lambda _, locks: locks.ended("default", LOCK, None), ["update_item"]),
            (lambda _, locks: locked(locks), ["update_item", "get_item", "update_item"]),
        ],
        ids=[
            *("get", "take", "renew", "release", "close", "close over leases", "reopen", "note stopped", "forget"),
            *("enter a start", "enter up", "enter seen", "enter a stop", "enter the disk's end"),
            *("hold on", "launch ended", "launch brought nothing", "lock and unlock"),
        ],
    )
    async def test_every_placeholder_is_named_and_used(
        self, aws: Stubbed, call: Callable[[Records, LaunchLocks], Any], steps: list[str]
    ):
        kept, table = Expressions(aws), Table(aws, "hearth-default")
        for step in steps:
            aws.answers("dynamodb", step, {})
        await call(Records(table), LaunchLocks(table))
        assert len(kept.asked) == len(steps)
        for asked in kept.asked:
            text = " ".join(asked.get(name, "") for name in ("UpdateExpression", "ConditionExpression"))
            used = set(re.findall(r"[:#]\w+", text))
            assert used == {*asked.get("ExpressionAttributeValues", ()), *asked.get("ExpressionAttributeNames", ())}

    async def test_a_record_is_read_consistently(self, aws: Stubbed):
        asked = {"TableName": "hearth-default", "Key": {"id": {"S": ID}}, "ConsistentRead": True}
        aws.answers("dynamodb", "get_item", {}, asked)
        assert (await Records(Table(aws, "hearth-default")).get(ID)).leases == ()

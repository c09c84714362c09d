"""What is asked of a fleet, held against botocore's own model: markets, prices, and the token of a launch."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters

from tasks.backends.ec2.fleet import Offer, affordable
from tasks.backends.ec2.machine import Market
from tasks.core.errors import InputError
from tasks.core.events import subscribe
from tasks.costs.price_book import Book, Price, shipped_book
from tasks.settings.ec2 import Ec2Settings, SpotPolicy
from tests.unit.tasks.backends.ec2.stubbed import offered, places

MODEL = botocore.session.Session().get_service_model("ec2").operation_model("CreateFleet").input_shape


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

    def test_without_a_cap_no_price_is_mentioned(self):
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
        assert affordable(capped, "us-west-2", shipped_book()) == ("g4dn.xlarge",)  # 0.526
        assert affordable(capped, "eu-central-1", shipped_book()) == ()  # 0.658

    def test_a_price_that_aws_was_asked_for_goes_before_the_book_s(self):
        capped = Ec2Settings(types=("g4dn.xlarge",), max_price=0.6)
        asked = Price(item="g4dn.xlarge", region="eu-central-1", usd=0.55, source="skypilot")
        book = shipped_book().merged(Book(sources={}, prices=(asked,)))
        assert affordable(capped, "eu-central-1", book) == ("g4dn.xlarge",)

    def test_where_the_book_lacks_the_region_us_east_1_s_price_is_used_with_a_warning(self):
        told: list[Any] = []
        capped = Ec2Settings(types=("g4dn.xlarge", "p4d.24xlarge"), max_price=0.6)
        with subscribe(told.append):
            assert affordable(capped, "sa-east-1", shipped_book()) == ("g4dn.xlarge",)
        (caution,) = told
        assert "no price of g4dn.xlarge in sa-east-1; the price of us-east-1 is used" in caution.message

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

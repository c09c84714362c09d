"""What the price book says."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from flows.stacks.ec2 import deployment
from infra_scripts.common.deployment import Options
from tasks.costs.price_book import REGIONS, Book, Price, Source, Term, current_book, save_book, shipped_book
from tasks.costs.rates import HOURS_A_MONTH, gp3_usd_per_hour, on_demand_usd_per_hour
from tasks.costs.refresh import TYPES
from tasks.settings.settings import Settings


def test_every_type_that_is_tried_by_default_has_a_price():
    assert all(on_demand_usd_per_hour(each) for each in Settings().ec2.types)


def test_a_type_that_is_not_in_the_book_has_none():
    assert on_demand_usd_per_hour("u-24tb1.metal") is None


@pytest.mark.parametrize(
    ("size", "throughput", "usd_per_month"),
    [(100, 125, 8.0), (100, 500, 8.0 + 15.0), (100, 1000, 8.0 + 35.0 + 5.0)],
    ids=["all included", "throughput beyond what is included", "and the operations that it needs"],
)
def test_a_disk_costs_its_size_and_what_is_beyond_the_included(size: int, throughput: int, usd_per_month: float):
    assert gp3_usd_per_hour(size, throughput) * HOURS_A_MONTH == pytest.approx(usd_per_month)


def test_every_price_names_a_dated_source_and_why_it_was_not_verified():
    book = shipped_book()
    assert {price.source for price in book.prices} <= set(book.sources)
    assert all(source.url.startswith("https://") for source in book.sources.values())
    assert all(price.why for price in book.prices if not price.checked)
    assert len({price.key for price in book.prices}) == len(book.prices)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("term", [Term.ON_DEMAND, Term.SPOT])
def test_t4_and_a10_have_a_price_in_each_region(region: str, term: Term):
    assert all(shipped_book().find(each, region, term) for each in ("g4dn.xlarge", "g5.xlarge"))


@pytest.mark.parametrize(
    "item",
    [
        *("g4dn.xlarge", "g4dn.2xlarge", "g4dn.4xlarge", "g5.xlarge", "g5.2xlarge", "g6.xlarge", "g6.2xlarge"),
        *(
            "c5.2xlarge",
            "c5.4xlarge",
            "gp3:gb",
            "gp3:iops",
            "gp3:mb_s",
            "alb:hour",
            "alb:lcu",
            "ipv4",
            "s3:gb",
            "s3:put",
        ),
        *(
            "ml.g4dn.xlarge",
            "ml.g5.xlarge",
            "ml.g6.xlarge",
            "lambda:gb_s",
            "lambda:request",
            "fargate:vcpu",
            "fargate:gb",
        ),
    ],
)
def test_everything_that_hearth_uses_has_a_price_in_us_east_1(item: str):
    assert shipped_book().find(item, "us-east-1")


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("kind", TYPES)
def test_machines_have_the_price_of_each_region_where_there_are_such(kind: str, region: str):
    lacks = kind == "g4dn.4xlarge" or (kind.startswith("g6.") and region == "eu-west-1")  # AWS has no g6 there
    assert lacks or shipped_book().find(kind, region)


def test_the_users_own_prices_go_before_those_of_the_book(tmp_path: Path):
    price = Price(item="g4dn.xlarge", region="us-east-1", usd=0.6, source="mine")
    source = Source(url="https://example.com", date=date(2027, 1, 1))
    save_book(Book(sources={"mine": source}, prices=(price,)), tmp_path / "home")
    book = current_book(tmp_path / "home")
    assert book.find("g4dn.xlarge", "us-east-1") == price
    assert book.find("g5.xlarge", "us-east-1") == shipped_book().find("g5.xlarge", "us-east-1")


def test_only_what_is_new_or_differs_is_a_change():
    old = shipped_book()
    kept, dearer = old.prices[0], old.prices[1].model_copy(update={"usd": 9.0})
    new = Price(item="g9.xlarge", region="us-east-1", usd=1.0, source=kept.source)
    assert old.changes(Book(sources=old.sources, prices=(kept, dearer, new))) == ((old.prices[1], dearer), (None, new))


def test_a_price_is_old_after_90_days_and_not_before():
    book = shipped_book()
    (price,) = [each for each in book.prices if each.item == "gp3:iops"]
    read = book.sources[price.source].date
    assert book.stale([price], read + timedelta(days=90)) == {}
    assert book.stale([price], read + timedelta(days=91)) == {price.label: read}


def test_what_is_about_to_be_deployed_is_priced_in_its_region_and_it_is_said_where_the_book_lacks_it():
    plan = deployment(Settings(), Options(allow_from=("10.0.0.0/16",)), "eu-central-1").plan()
    (cost,) = [cell for kind, cell, _ in plan.costs.rows if kind == "g4dn.xlarge"]
    disk = gp3_usd_per_hour(100, 437, "eu-central-1")
    assert cost == f"USD {0.658 + disk:.3f} an hour"
    assert plan.notes[-1] == "Prices of eu-central-1."
    abroad = deployment(Settings(), Options(allow_from=("10.0.0.0/16",)), "sa-east-1").plan()
    assert "no price of g4dn.xlarge, g4dn.2xlarge, g5.xlarge, g6.xlarge, gp3:gb in sa-east-1" in abroad.notes[-1]

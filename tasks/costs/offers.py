"""Read AWS's offer documents: pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tasks.costs.price_book import Price, Term

HOURS_A_YEAR = 8_760
_YEARS = {"1yr": 1, "3yr": 3}
_RESERVED = {
    ("1yr", "No Upfront"): Term.RESERVED_1Y_NO,
    ("1yr", "All Upfront"): Term.RESERVED_1Y_FULL,
    ("3yr", "No Upfront"): Term.RESERVED_3Y_NO,
    ("3yr", "All Upfront"): Term.RESERVED_3Y_FULL,
}


def machine_prices(offer: str, source: str) -> Iterator[Price]:
    """The prices in one document of `GetProducts` about an EC2 machine: on demand, and its standard reservations.

    Args:
        offer: JSON.
        source: key of the source that they are noted under.
    """
    document = json.loads(offer)
    named = document["product"]["attributes"]
    if named.get("marketoption", "OnDemand") != "OnDemand":
        return  # blocks of capacity, which share all else with machines on demand
    item, region = named["instanceType"], named["regionCode"]
    for kind, terms in document["terms"].items():
        for each in terms.values():
            term = _term(kind, each["termAttributes"])
            if term is not None:
                yield Price(item=item, region=region, term=term, usd=_usd_per_hour(each), source=source)


def _term(kind: str, attributes: dict[str, str]) -> Term | None:
    if kind == "OnDemand":
        return Term.ON_DEMAND
    if attributes.get("OfferingClass") != "standard":
        return None
    return _RESERVED.get((attributes["LeaseContractLength"], attributes["PurchaseOption"]))


def _usd_per_hour(term: dict[str, Any]) -> float:
    """What is paid in advance is spread over the hours that it is paid for."""
    hours = HOURS_A_YEAR * _YEARS.get(term["termAttributes"].get("LeaseContractLength", ""), 1)
    parts = ((each["unit"], float(each["pricePerUnit"]["USD"])) for each in term["priceDimensions"].values())
    return sum(usd / hours if unit == "Quantity" else usd for unit, usd in parts)

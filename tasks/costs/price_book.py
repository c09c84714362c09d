"""The price book: every price with its source and the day on which it was read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, PrivateAttr, ValidationError

from tasks.core.errors import InputError
from tasks.core.jobs import Frozen
from tasks.storage.files import files_at

HOME_REGION = "us-east-1"
REGIONS = ("us-east-1", "us-west-2", "eu-central-1", "eu-west-1")
STALE_DAYS = 90
_OWN = "prices.json"


class Term(StrEnum):
    """On what terms a machine is had. Reserved ones are paid for whether they run or not."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"
    RESERVED_1Y_NO = "reserved 1 y, no upfront"
    RESERVED_1Y_FULL = "reserved 1 y, full upfront"
    RESERVED_3Y_NO = "reserved 3 y, no upfront"
    RESERVED_3Y_FULL = "reserved 3 y, full upfront"

    @property
    def reserved(self) -> bool:
        """Whether it binds for years."""
        return self not in {Term.ON_DEMAND, Term.SPOT}


class Source(Frozen):
    """Where prices were read, and when."""

    url: str
    date: date
    note: str = ""


class Price(Frozen):
    """One price.

    Attributes:
        item: an instance type, or a service and what is counted, such as gp3:gb.
        usd: for one unit; of terms paid in advance, spread over their hours.
        source: its key among the book's sources.
        checked: whether it was seen where it is from; `why` says why not.
    """

    item: str
    region: str
    term: Term = Term.ON_DEMAND
    usd: float = Field(ge=0)
    unit: str = "hour"
    source: str
    checked: bool = True
    why: str | None = None

    @property
    def key(self) -> tuple[str, str, Term]:
        """What it is the price of."""
        return self.item, self.region, self.term

    @property
    def label(self) -> str:
        """What it is the price of, for people; on demand goes without saying."""
        return self.item if self.term is Term.ON_DEMAND else f"{self.item} {self.term}"


class Book(Frozen):
    """Prices and their sources."""

    schema_version: Literal[1] = 1
    sources: dict[str, Source]
    prices: tuple[Price, ...]
    _by_key: dict[tuple[str, str, Term], Price] = PrivateAttr(default_factory=dict)

    def model_post_init(self, _: object) -> None:
        """Make the prices quick to find."""
        self._by_key.update({price.key: price for price in self.prices})

    def find(self, item: str, region: str, term: Term = Term.ON_DEMAND) -> Price | None:
        """The price; None if the book lacks it."""
        return self._by_key.get((item, region, term))

    def usd(self, item: str, region: str = HOME_REGION) -> float:
        """USD a unit of a small thing; of us-east-1 if the book lacks the region's."""
        price = self.find(item, region) or self.find(item, HOME_REGION)
        if price is None:
            raise KeyError(f"The price book lacks {item}.")
        return price.usd

    def merged(self, newer: Book) -> Book:
        """This book with the newer one's prices in place of its own."""
        prices = self._by_key | newer._by_key
        return Book(sources=self.sources | newer.sources, prices=tuple(prices.values()))

    def changes(self, newer: Book) -> tuple[tuple[Price | None, Price], ...]:
        """Each price that the newer book has and this one has not, with what it was before."""
        pairs = ((self._by_key.get(price.key), price) for price in newer.prices)
        return tuple((old, new) for old, new in pairs if old is None or old.usd != new.usd)

    def stale(self, prices: Iterable[Price], today: date, days: int = STALE_DAYS) -> dict[str, date]:
        """Those of the prices that were read longer than `days` ago, by what they are of, and when that was."""
        read = {price.label: self.sources[price.source].date for price in prices}
        return {told: day for told, day in read.items() if today - day > timedelta(days=days)}


@cache
def shipped_book() -> Book:
    """The book that comes with Hearth."""
    return Book.model_validate_json((Path(__file__).parent / "book.json").read_bytes())


def user_book(home: Path) -> Book | None:
    """What `hearth prices refresh` wrote; None if it never did.

    Raises:
        InputError: it cannot be understood.
    """
    text = files_at(home).read(_OWN)
    try:
        return None if text is None else Book.model_validate_json(text)
    except ValidationError:
        told = f"{home / _OWN} is no price book of this version. Delete it, or ask AWS again: hearth prices refresh."
        raise InputError(told) from None


def current_book(home: Path) -> Book:
    """The shipped book with the user's own prices in place of its own."""
    newer = user_book(home)
    return shipped_book() if newer is None else shipped_book().merged(newer)


def save_book(book: Book, home: Path) -> None:
    """Write the user's own book, whole or not at all."""
    files_at(home).mkdir()
    files_at(home).write(_OWN, [book.model_dump_json(indent=1), "\n"])

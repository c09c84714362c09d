"""The price book: prices with their sources and the dates on which they were read."""

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
    """The terms on which a machine is paid for. Reserved machines are paid for whether they run or not."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"
    RESERVED_1Y_NO = "reserved 1 y, no upfront"
    RESERVED_1Y_FULL = "reserved 1 y, full upfront"
    RESERVED_3Y_NO = "reserved 3 y, no upfront"
    RESERVED_3Y_FULL = "reserved 3 y, full upfront"


class Source(Frozen):
    """The place and date at which prices were read."""

    url: str
    date: date
    note: str = ""


class Price(Frozen):
    """A price.

    Attributes:
        item: an instance type, or a service and the unit that it counts, such as gp3:gb.
        usd: price of one unit; an advance payment is spread over the hours that it covers.
        source: key in the book's sources.
        checked: whether the price was verified at its source; `why` gives the reason if not.
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
        """The key of the price in a book."""
        return self.item, self.region, self.term

    @property
    def label(self) -> str:
        """The item and its terms for display; on-demand terms are omitted."""
        return self.item if self.term is Term.ON_DEMAND else f"{self.item} {self.term}"


class Book(Frozen):
    """Prices and their sources."""

    schema_version: Literal[1] = 1
    sources: dict[str, Source]
    prices: tuple[Price, ...]
    _by_key: dict[tuple[str, str, Term], Price] = PrivateAttr(default_factory=dict)

    def model_post_init(self, _: object) -> None:
        """Index the prices by their keys."""
        self._by_key.update({price.key: price for price in self.prices})

    def find(self, item: str, region: str, term: Term = Term.ON_DEMAND) -> Price | None:
        """Return a price; None if the book has none."""
        return self._by_key.get((item, region, term))

    def nearest(self, item: str, region: str, term: Term = Term.ON_DEMAND) -> Price | None:
        """Return the region's price, or else that of us-east-1; None if the book has neither."""
        return self.find(item, region, term) or self.find(item, HOME_REGION, term)

    def usd(self, item: str, region: str = HOME_REGION) -> float:
        """Return the nearest price of an item that every book has, USD per unit."""
        price = self.nearest(item, region)
        if price is None:
            raise KeyError(f"The price book has no price of {item}.")
        return price.usd

    def merged(self, newer: Book) -> Book:
        """Return a book in which the newer book's prices replace this book's."""
        prices = self._by_key | newer._by_key
        return Book(sources=self.sources | newer.sources, prices=tuple(prices.values()))

    def changes(self, newer: Book) -> tuple[tuple[Price | None, Price], ...]:
        """Return the pairs of old and new prices that differ; the old price is None if this book has none."""
        pairs = ((self._by_key.get(price.key), price) for price in newer.prices)
        return tuple((old, new) for old, new in pairs if old is None or old.usd != new.usd)

    def stale(self, prices: Iterable[Price], today: date, days: int = STALE_DAYS) -> dict[str, date]:
        """Return the labels of prices that were read more than `days` ago, each with the date of reading."""
        read = {price.label: self.sources[price.source].date for price in prices}
        return {label: day for label, day in read.items() if today - day > timedelta(days=days)}


@cache
def shipped_book() -> Book:
    """Return the price book that comes with Hearth."""
    return Book.model_validate_json((Path(__file__).parent / "book.json").read_bytes())


def user_book(home: Path) -> Book | None:
    """Return the price book that `hearth prices refresh` wrote; None if there is none.

    Raises:
        InputError: the file is no price book of this version.
    """
    text = files_at(home).read(_OWN)
    try:
        return None if text is None else Book.model_validate_json(text)
    except ValidationError:
        raise InputError(
            f"{home / _OWN} is not a price book of this version. Delete it, or run `hearth prices refresh` again."
        ) from None


def current_book(home: Path) -> Book:
    """Return the shipped book, updated with the user's own prices."""
    newer = user_book(home)
    return shipped_book() if newer is None else shipped_book().merged(newer)


def save_book(book: Book, home: Path) -> None:
    """Write the user's own price book atomically."""
    files_at(home).mkdir()
    files_at(home).write(_OWN, [book.model_dump_json(indent=1), "\n"])

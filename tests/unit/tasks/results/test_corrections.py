"""A person sees which pages were turned and straightened."""

from __future__ import annotations

from pathlib import Path

from tasks.core.corrections import Correction, Evidence
from tasks.results.listing import Listing
from tasks.results.page import PageEntry, PageStatus

FILE = Path("/out/manifest.json")


def entry(number: int, correction: Correction | None = None) -> PageEntry:
    return PageEntry(page=number, status=PageStatus.READ, identity="one", correction=correction)


def turned(number: int) -> PageEntry:
    return entry(number, Correction(turned=90, evidence=Evidence.WORDS))


def test_the_pages_that_were_turned_are_named_and_the_straightened_counted():
    both = Correction(turned=180, evidence=Evidence.TEXT, straightened=1.2)
    pages = Listing.of([entry(1), turned(2), entry(3, both), entry(4, Correction(straightened=-2))], FILE)
    assert (pages.turned, pages.straightened) == (2, 2)
    assert pages.corrections == (
        "page 2 turned by 90 degrees (words); page 3 turned by 180 degrees (text) and straightened by 1.2 degrees; "
        "2 straightened"
    )


def test_of_many_pages_that_were_turned_the_first_are_named():
    pages = Listing.of(map(turned, range(1, 1001)), FILE)
    assert pages.corrections.count("page") == 20
    assert pages.corrections.endswith("980 more turned")


def test_nothing_is_said_where_no_page_was_corrected():
    assert Listing.of([entry(1)], FILE).corrections == ""


def test_an_entry_without_a_correction_is_stored_as_before_there_were_any():
    assert "correction" not in entry(1).model_dump_json()
    assert PageEntry.model_validate_json(turned(2).model_dump_json()) == turned(2)

"""The same bytes under several names: one turn, and each other's pages."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tasks.results.store import ResultStore
from tests.support.waiting import PATIENCE
from tests.unit.tasks.results.stored import blank, failed, page


def store(output: Path, name: str, digits: str = "aaaaaaaaaaaa") -> ResultStore:
    made = ResultStore(output / f"{name}-{digits}", shared=True)
    made.prepare()
    return made


async def test_pages_that_stand_under_another_name_are_copied_and_those_that_failed_are_not(tmp_path: Path):
    one, other = store(tmp_path, "one"), store(tmp_path, "other")
    async with one.lock():
        for result in (page(1), blank(2), failed(3)):
            one.write_page(result)
    async with other.lock():
        other.take_over([1, 2, 3, 4], lambda _: True)
    assert [other.page(number) for number in (1, 2, 3, 4)] == [page(1), blank(2), None, None]


async def test_what_is_not_wanted_is_not_copied_and_what_stands_here_stays(tmp_path: Path):
    one, other = store(tmp_path, "one"), store(tmp_path, "other")
    one.write_page(page(1, "Of another prompt."))
    one.write_page(page(2, "Theirs."))
    other.write_page(page(2, "Ours."))
    other.take_over([1, 2], lambda result: result.text != "Of another prompt.")
    assert other.page(1) is None
    assert other.page(2) == page(2, "Ours.")


async def test_results_of_a_version_that_noted_no_names_are_found(tmp_path: Path):
    old = ResultStore(tmp_path / "old-aaaaaaaaaaaa")
    old.prepare()
    old.write_page(page(1))
    new = store(tmp_path, "new")
    new.take_over([1], lambda _: True)
    assert new.page(1) == page(1)


async def test_other_bytes_are_no_business_of_theirs(tmp_path: Path):
    store(tmp_path, "one", "bbbbbbbbbbbb").write_page(page(1))
    other = store(tmp_path, "one")
    other.take_over([1], lambda _: True)
    assert other.page(1) is None


async def test_they_are_read_one_after_the_other(tmp_path: Path):
    one, other = store(tmp_path, "one"), store(tmp_path, "other")
    async with one.lock():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), other.lock():
                pass
    async with asyncio.timeout(PATIENCE), other.lock():
        pass


async def test_a_list_of_names_that_somebody_spoilt_leads_nowhere(tmp_path: Path):
    one = store(tmp_path, "one")
    names = tmp_path / ".by-content/aaaaaaaaaaaa/directories.txt"
    names.write_bytes(b"../../etc-aaaaaaaaaaaa\n\xff\nelse\ngone-aaaaaaaaaaaa\n")
    one.take_over([1], lambda _: True)
    assert one.page(1) is None

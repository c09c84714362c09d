"""Many nights on one home: what they leave stays bounded, and nothing that a person needs goes."""

from __future__ import annotations

import pytest

import tasks.retention.jsonl
from tasks.settings.settings import Settings
from tests.support.nights import Nights

SHORT = {"reports_days": 12, "costs_days": 31, "leftovers_days": 3}
NIGHTS, DOCUMENTS, DAILY = 45, 10, 1


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.retention.jsonl, "LEAST_LINES", 4)
        directory = tmp_path_factory.mktemp("nights")
        settings = Settings(home=directory / "home", output=directory / "results", retention=SHORT)
        nights = Nights(directory, settings, DOCUMENTS)
        for number in range(NIGHTS):
            night = nights.night(number)
            assert (night.read, night.unchanged) == (DOCUMENTS + DAILY, number * DOCUMENTS)
        return nights


def test_reports_are_kept_for_as_long_as_the_setting_says(nights: Nights):
    assert len(list((nights.output / "batches").glob("*.md"))) == SHORT["reports_days"] + 1
    assert len(list((nights.output / "batches").glob("*.csv"))) == SHORT["reports_days"] + 1


def test_the_index_has_a_line_a_document_and_few_more(nights: Nights):
    lines = (nights.output / "documents.jsonl").read_text().splitlines()
    documents = NIGHTS * DOCUMENTS + DAILY
    assert documents <= len(lines) <= documents / (1 - tasks.retention.jsonl.LEAST_SHARE)


def test_what_machines_cost_goes_back_as_far_as_the_setting_says(nights: Nights):
    lines = len((nights.output / "machines.jsonl").read_text().splitlines())
    assert 2 * SHORT["costs_days"] <= lines < 2 * NIGHTS


def test_ledgers_parts_and_copies_that_nobody_uses_go(nights: Nights):
    assert len(list((nights.home / "slots").glob("*.json"))) == SHORT["leftovers_days"] + 1
    assert len(list((nights.home / "slots").glob("*.lock"))) == SHORT["leftovers_days"] + 1
    assert len(list((nights.output / "batches").glob("*-report.json"))) == SHORT["leftovers_days"] + 1
    assert not list((nights.home / "copies").iterdir())


def test_every_result_is_there(nights: Nights):
    assert len(list(nights.output.glob("*/document.md"))) == NIGHTS * (DOCUMENTS + DAILY)

"""Lines of a bill, and what it says of its own figures."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from tasks.costs.attribution import DAY_MS, Rates, Span, Use, pieces
from tasks.costs.bill import NOBODY, Bill, By, make_bill
from tasks.runs.usage_log import Usage

MIDNIGHT = 20_000 * DAY_MS
RATES = Rates(machine=0.36, on_demand=0.72, address=0.036, disk=0.0036)
SPAN = Span("i-1", "g4dn.xlarge spot in us-east-1a", MIDNIGHT - 500_000, RATES, up=0, ended=MIDNIGHT + 500_000)
USE = Use("i-1", "a", "paper on desk", MIDNIGHT - 500_000, MIDNIGHT + 300_000, {"one": 3.0, "two": 1.0})


def at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def billed(by: By = By.DAY, *, span: Span = SPAN, since: int = 0, now: int = MIDNIGHT + 900_000) -> Bill:
    return make_bill(pieces([span], [USE], now), by, at(since), at(now))


def test_a_machine_that_runs_over_midnight_is_in_both_days():
    days = billed().lines
    assert [(day.name, day.leased, day.idle) for day in days] == [("2024-10-03", 500, 0), ("2024-10-04", 300, 200)]


def test_what_lies_before_the_beginning_is_left_out():
    (day,) = billed(since=MIDNIGHT + 100_000).lines
    assert (day.leased, day.idle) == (200, 200)


def test_documents_are_told_the_dearest_first():
    one, two = billed(By.DOCUMENT).lines
    assert (one.name, two.name) == ("one", "two")
    assert one.total_usd == pytest.approx(3 * two.total_usd)


@pytest.mark.parametrize("by", By)
def test_lines_add_up_to_the_total(by: By):
    found = billed(by)
    for what in ("leased", "idle", "usd", "disk_usd", "saved_usd", "total_usd"):
        assert sum(getattr(line, what) for line in found.lines) == pytest.approx(getattr(found.total, what))
    assert found.total.usd == pytest.approx(0.396 * 1000 / 3600)
    assert found.total.idle_usd == pytest.approx(0.396 * 200 / 3600)
    assert found.total.saved_usd == pytest.approx(0.36 * 1000 / 3600)


def test_what_nobody_leased_is_nobody_s():
    found = make_bill(pieces([SPAN], [], MIDNIGHT + 900_000), By.DOCUMENT, at(0), at(MIDNIGHT + 900_000))
    assert [line.name for line in found.lines] == [NOBODY]


@pytest.mark.parametrize(
    ("span", "told"),
    [
        (replace(SPAN, rates=Rates(machine=None)), "counted as nothing, of: g4dn.xlarge spot in us-east-1a"),
        (replace(SPAN, exact=False), "stop time is unknown for: i-1"),
        (replace(SPAN, ended=None), "more cost will follow"),
        (replace(SPAN, keeps_disk=True), "more cost will follow"),
    ],
    ids=["no price", "an end that was guessed", "it runs", "its disk is kept"],
)
def test_what_is_not_known_or_not_over_is_said(span: Span, told: str):
    assert told in " ".join(billed(span=span).notes)
    assert billed().notes == ()


def test_the_command_tells_what_waiting_cost_and_spot_saved(monkeypatch: pytest.MonkeyPatch):
    usage = Usage(tuple(pieces([SPAN], [USE], MIDNIGHT + 900_000)), ())
    monkeypatch.setattr("flows.cli.cost.read_usage", lambda _output, _since: usage)
    done = CliRunner().invoke(app, ["cost", "--by", "machine", "--since", "2024-10-01"], env={"COLUMNS": "200"})
    assert "i-1 (g4dn.xlarge spot in us-east-1a) 13.3 min 3.3 min" in done.output
    assert "Waiting for work cost USD 0.0220 (20%)" in done.output
    assert "Spot saved USD 0.1000" in done.output

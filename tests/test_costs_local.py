"""`hearth cost` where there is no pool: what the manifests of runs say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app
from tasks.costs.bill import By
from tasks.costs.local import local_bill
from tests.test_costs_request import HEAD

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
MACHINE = {"id": "i-1", "kind": "g4dn.xlarge spot in us-east-1a", "seconds": 90.0, "usd": 0.005}


def ran(output: Path, name: str, **changed: Any) -> None:
    """A manifest as a run leaves it."""
    (output / name).mkdir(parents=True)
    head = HEAD | {"document": {**HEAD["document"], "path": f"/{name}.pdf"}, "warm_seconds": 4.0, "read_seconds": 6.0}
    text = json.dumps(head | changed)[1:-1]
    (output / name / "manifest.json").write_text(f'{{{text},\n "pages": [\n ]\n}}\n')


def test_servers_that_nobody_pays_for_cost_nothing_and_it_is_said(tmp_path: Path):
    ran(tmp_path, "a")
    bill = local_bill(tmp_path, By.DOCUMENT, SINCE)
    assert [(line.name, line.leased, line.total_usd) for line in bill.lines] == [("a", 10.0, 0.0)]
    assert any("No machine was paid for" in note for note in bill.notes)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        (By.DAY, ["2026-11-24"]),
        (By.DOCUMENT, ["a", "b"]),
        (By.MACHINE, ["i-1 (g4dn.xlarge spot in us-east-1a)", "no server"]),
    ],
)
def test_machines_cost_what_the_manifests_say(tmp_path: Path, by: By, names: list[str]):
    ran(tmp_path, "a", machines=[MACHINE], cost_usd=0.005)
    ran(tmp_path, "b")
    bill = local_bill(tmp_path, by, SINCE)
    assert [line.name for line in bill.lines] == names
    assert bill.total.usd == 0.005
    assert bill.total.leased == 100.0
    assert not any("No machine" in note for note in bill.notes)


def test_runs_of_before_are_left_out(tmp_path: Path):
    ran(tmp_path, "a")
    assert local_bill(tmp_path, By.DAY, SINCE + timedelta(days=29)).lines == ()


def test_the_command_shows_it_and_brackets_in_a_name_are_no_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ran(tmp_path, "a [bold]", machines=[MACHINE], cost_usd=0.005)
    monkeypatch.setenv("HEARTH_OUTPUT", str(tmp_path))
    done = CliRunner().invoke(app, ["cost", "--by", "document", "--since", "2026-11-24"])
    assert done.exit_code == 0, done.output
    assert "a [bold]" in done.output
    assert "0.0050" in done.output
    assert "Waiting" not in done.output  # nobody knows


@pytest.mark.parametrize("since", ["yesterday", "7", "2026-13-01", "999999999999d"])
def test_a_beginning_that_is_none_is_refused(since: str):
    refused = CliRunner().invoke(app, ["cost", "--since", since])
    assert "Write it like" in str(refused.exception)

"""`hearth clean`: a table that fits into 80 columns, or JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With twelve reports that are older than they are kept, two of which are not among the newest."""
    monkeypatch.setenv("HEARTH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEARTH_OUTPUT", str(tmp_path / "results"))
    monkeypatch.setenv("API_DIRECTORY", str(tmp_path / "api"))
    monkeypatch.setenv("COLUMNS", "80")
    batches = tmp_path / "results" / "batches"
    batches.mkdir(parents=True)
    for number in range(12):
        report = batches / f"20200101T0000{number:02d}.md"
        report.write_text("x" * 1500)
        os.utime(report, (0, 0))
    return batches


def clean(*arguments: str) -> str:
    outcome = CliRunner().invoke(app, ["clean", *arguments])
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


def test_a_dry_run_lists_expired_files_in_80_columns_and_deletes_nothing(results: Path):
    shown = clean("--dry-run")
    assert "Would be deleted" in shown
    assert "reports of batches" in shown
    assert "3.0 kB" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert len(list(results.iterdir())) == 12


def test_json_lists_what_is_deleted_and_a_second_run_deletes_nothing(results: Path):
    gone = {"what": "reports of batches", "count": 2, "bytes": 3000}
    assert json.loads(clean("--dry-run", "--json")) == {"dry_run": True, "expired": [gone]}
    assert json.loads(clean("--json")) == {"dry_run": False, "expired": [gone]}
    assert len(list(results.iterdir())) == 10
    assert clean() == "Nothing has expired.\n"


def test_output_names_another_directory_of_results(tmp_path: Path, results: Path):
    other = tmp_path / "other" / "batches"
    results.rename(tmp_path / "moved")
    other.parent.mkdir()
    (tmp_path / "moved").rename(other)
    assert clean("--dry-run") == "Nothing has expired.\n"
    assert "reports of batches" in clean("--dry-run", "-o", str(other.parent))

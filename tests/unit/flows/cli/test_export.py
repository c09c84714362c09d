"""`hearth export`: what it exports, and where to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from tasks.results.store import ResultStore, results_name
from tests.unit.tasks.results.stored import page

runner = CliRunner()
BYTES = b"%PDF-1.7 of a paper"


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two documents, of two pages and of one."""
    monkeypatch.setenv("HEARTH_OUTPUT", str(tmp_path / "results"))
    (tmp_path / "paper.pdf").write_bytes(BYTES)
    for name, count in ((results_name("paper", hashlib.sha256(BYTES).hexdigest()), 2), ("other-bbbbbbbbbbbb", 1)):
        store = ResultStore(tmp_path / "results" / name)
        store.prepare()
        for number in range(1, count + 1):
            store.write_page(page(number, name))
    return tmp_path / "results"


def exported(*arguments: str | Path) -> list[str]:
    outcome = runner.invoke(app, ["export", *map(str, arguments)])
    assert outcome.exit_code == 0, outcome.output
    return [json.loads(line)["text"].partition("-")[0] for line in outcome.stdout.splitlines()]


def test_without_a_source_all_results_are_exported():
    assert exported("--to", "jsonl") == ["other", "paper", "paper"]


def test_a_document_is_exported_by_its_bytes(tmp_path: Path):
    assert exported("paper.pdf") == ["paper", "paper"]
    (tmp_path / "paper.pdf").rename("renamed.pdf")
    assert exported("renamed.pdf") == ["paper", "paper"]


def test_directories_of_results_are_exported_in_the_order_in_which_they_are_named(results: Path):
    assert exported(results / "other-bbbbbbbbbbbb", results) == ["other", "other", "paper", "paper"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, results: Path):
    assert exported("--file", "pages.jsonl") == []
    assert len((tmp_path / "pages.jsonl").read_text().splitlines()) == 3
    before = (tmp_path / "pages.jsonl").read_bytes()
    broken = results / "other-bbbbbbbbbbbb" / "pages" / "0001.json"
    broken.unlink()
    broken.mkdir()
    outcome = runner.invoke(app, ["export", "--file", "pages.jsonl"])
    assert outcome.exit_code != 0
    assert (tmp_path / "pages.jsonl").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pages.jsonl", "paper.pdf", "results"]


def test_a_damaged_page_gives_exit_code_3_and_its_name(results: Path):
    (results / "other-bbbbbbbbbbbb" / "pages" / "0001.json").write_text("{")
    outcome = runner.invoke(app, ["export"])
    assert (outcome.exit_code, len(outcome.stdout.splitlines())) == (3, 2)
    assert "Page 1 in" in outcome.stderr
    assert "cannot be read and is not exported" in outcome.stderr

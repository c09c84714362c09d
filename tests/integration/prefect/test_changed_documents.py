"""A run reads one version of a file, even if it changes meanwhile; equal bytes are read once under any name."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import pdfs
from tests.support.commands import Hearth, Outcome
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.long("each test runs the command: 2 to 7 s")

TEXTS = ("Chapter 1.", "Chapter 2.", "Chapter 3.")


@pytest.fixture
def novel(tmp_path: Path) -> Path:
    return pdfs.ending_across(tmp_path / "novel.pdf", *TEXTS)


def changed_meanwhile(hearth: Hearth, serving, novel: Path, change: Callable[[Path], object]) -> Outcome:
    """Read it; its last page waits until it was changed."""
    gate = hearth.directory / "gate"
    process = hearth.start("read", novel, "--json", **serving("echo", gate=gate).settings)
    until(lambda: list(hearth.directory.glob("results/novel-*/pages/????.json")))
    change(novel)
    gate.touch()
    out, err = process.communicate(timeout=PATIENCE)
    return Outcome(process.returncode, out, err)


def overwritten(novel: Path) -> None:
    other = pdfs.written(novel.with_name("other.pdf"), "Another.", "Book.").read_bytes()
    with novel.open("r+b") as file:
        file.write(other)
        file.truncate()


def cut_off(novel: Path) -> None:
    os.truncate(novel, novel.stat().st_size // 2)


def replaced(novel: Path) -> None:
    pdfs.written(novel.with_name("other.pdf"), "Another.").replace(novel)


@pytest.mark.parametrize("change", [overwritten, cut_off, replaced])
def test_a_document_that_changes_during_a_run_is_read_as_it_was_and_flagged(
    hearth: Hearth, serving, novel: Path, change: Callable[[Path], object]
):
    before = shutil.copy(novel, novel.with_name("before.pdf"))
    outcome = changed_meanwhile(hearth, serving, novel, change)
    assert outcome.code == 3, outcome.err
    assert (outcome.json["read"], outcome.json["failed"]) == (len(TEXTS), 0)
    assert "changed: it was changed while it was read" in outcome.json["flags"][0]
    again = hearth.read(before, **serving("echo").settings)
    read = [json.loads(page.read_text())["text"] for page in sorted(Path(outcome.json["output"]).glob("pages/*"))]
    same = [json.loads(page.read_text())["text"] for page in sorted(Path(again.json["output"]).glob("pages/*"))]
    assert (again.code, again.json["read_now"], read) == (0, 0, same)


@pytest.mark.parametrize("change", [Path.touch, Path.unlink])
def test_replacing_a_document_with_an_equal_copy_is_no_change(
    hearth: Hearth, serving, novel: Path, change: Callable[[Path], object]
):
    outcome = changed_meanwhile(hearth, serving, novel, change)
    assert (outcome.code, outcome.json["flags"]) == (0, []), outcome.err


def test_the_same_bytes_under_another_name_are_not_read_again(hearth: Hearth, serving, novel: Path):
    engine = serving("echo")
    first = hearth.read(novel, **engine.settings)
    copy = Path(shutil.copy(novel, novel.with_name("copy.pdf")))
    second = hearth.read(copy, **engine.settings)
    assert (second.code, second.json["read"], second.json["read_now"]) == (0, len(TEXTS), 0)
    texts = [(Path(each.json["output"]) / "document.md").read_text() for each in (first, second)]
    assert texts[0] == texts[1]
    assert Path(second.json["output"]).name.startswith("copy-")


def rows(outcome: Outcome) -> dict[str, dict]:
    return {Path(row["document"]).name: row for row in json.loads(outcome.out)["rows"]}


def test_equal_documents_in_a_batch_are_read_once_and_stored_under_both_names(hearth: Hearth, serving, novel: Path):
    shutil.copy(novel, novel.with_name("copy.pdf"))
    engine = serving("echo", slots=4)
    outcome = hearth("batch", novel.parent, "--json", **engine.settings)
    assert outcome.code == 0, outcome.err
    assert sum(row["read_now"] for row in rows(outcome).values()) == len(TEXTS)
    for row in rows(outcome).values():
        assert (Path(row["output"]) / "document.md").exists()
    again = hearth("batch", novel.parent, "--json", **engine.settings)
    assert {row["status"] for row in rows(again).values()} == {"unchanged"}


def test_an_incomplete_document_is_left_for_the_next_batch(hearth: Hearth, serving, novel: Path):
    engine, whole = serving("echo"), novel.read_bytes()
    growing = novel.with_name("growing.pdf")
    growing.write_bytes(whole[:-700])
    outcome = hearth("batch", growing, "--json", **engine.settings)
    assert (outcome.code, rows(outcome)["growing.pdf"]["status"]) == (0, "left"), outcome.err
    growing.write_bytes(whole)
    assert rows(hearth("batch", growing, "--json", **engine.settings))["growing.pdf"]["status"] == "read"


def test_an_old_incomplete_document_has_failed(hearth: Hearth, serving, novel: Path):
    os.truncate(novel, novel.stat().st_size - 700)
    os.utime(novel, (time.time() - 3600,) * 2)
    outcome = hearth("batch", novel, "--json", **serving("echo").settings)
    assert (outcome.code, rows(outcome)["novel.pdf"]["status"]) == (3, "failed"), outcome.err

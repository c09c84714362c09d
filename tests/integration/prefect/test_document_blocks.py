"""A long batch: blocks of documents are task runs, and each document is still shown, with its failure and its link."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pymupdf
import pytest

from flows.engine.document_block import MOST_SINGLE_DOCUMENTS
from flows.engine.pages import BLOCK
from tests.support.commands import Hearth
from tests.support.waiting import until

pytestmark = pytest.mark.long("reads a long batch: 10 s")

DOCUMENTS = MOST_SINGLE_DOCUMENTS + 15
BROKEN = 30
BLOCKS = -(-DOCUMENTS // BLOCK)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """Documents of one page each, all different; one of them is no PDF."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    for number in range(1, DOCUMENTS + 1):
        with pymupdf.open() as pdf:
            pdf.new_page(width=200, height=200).insert_text((20, 60), f"Letter {number}.", fontsize=18)
            pdf.save(folder / f"{number:03}.pdf")
    (folder / f"{BROKEN:03}.pdf").write_text("no PDF")
    return folder


def test_each_block_is_a_task_run_with_a_table_of_its_documents(hearth: Hearth, prefect, serving, inbox: Path):
    outcome = hearth("batch", inbox, "--longest-side", "200", "--json", **serving("echo").settings)
    assert outcome.code == 3, outcome.err
    report = json.loads(outcome.out)
    assert Counter(row["status"] for row in report["rows"]) == {"read": DOCUMENTS - 1, "failed": 1}

    tasks = {task["name"]: task for task in ended(prefect, BLOCKS + 1)}
    firsts = range(1, DOCUMENTS + 1, BLOCK)
    lasts = [min(first + BLOCK - 1, DOCUMENTS) for first in firsts]
    named = [
        f"documents {first}-{last}: {first:03}.pdf to {last:03}.pdf" for first, last in zip(firsts, lasts, strict=True)
    ]
    assert tasks.keys() == {*named, "warm up tesseract:eng"}
    partial = named[(BROKEN - 1) // BLOCK]
    assert {name for name, task in tasks.items() if task["state_name"] != "Completed"} == {partial}
    assert (tasks[partial]["state_name"], tasks[partial]["state"]["message"]) == ("Partial", "24 read, 1 failed")

    run = {"flow_runs": {"id": {"any_": [tasks[partial]["flow_run_id"]]}}}
    shown = prefect("artifacts", **run)
    tables = {each["task_run_id"]: each["data"] for each in shown if (each["key"], each["type"]) == (None, "markdown")}
    assert tables.keys() == {tasks[name]["id"] for name in named}
    for row in report["rows"]:
        name = named[(int(Path(row["document"]).stem) - 1) // BLOCK]
        line = next(line for line in tables[tasks[name]["id"]].splitlines() if Path(row["document"]).name in line)
        assert ("is not a PDF" in line) if row["status"] == "failed" else (Path(row["text"]).as_uri() in line)
    logged = [log["message"] for log in prefect("logs", logs={"task_run_id": {"any_": [tasks[partial]["id"]]}})]
    assert any(f"{BROKEN:03}.pdf: failed" in message for message in logged)


@pytest.mark.parametrize("ends_by", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_batch_of_blocks_continues_with_the_documents_that_are_left(
    hearth: Hearth, serving, inbox: Path, tmp_path: Path, ends_by: signal.Signals
):
    engine, slots = serving("echo", slots=2, seconds=0.02), 2
    run = hearth.start("batch", inbox, "--longest-side", "200", **engine.settings)

    def enough() -> bool:
        assert run.poll() is None, run.communicate()
        return len(stored(tmp_path)) > BLOCK

    until(enough, every=0.05)
    run.send_signal(ends_by)
    run.communicate()
    known = len(stored(tmp_path))
    assert known < DOCUMENTS - 1

    outcome = hearth("batch", inbox, "--longest-side", "200", "--json", **engine.settings)
    rows = json.loads(outcome.out)["rows"]
    assert sum(row["read_now"] for row in rows) == DOCUMENTS - 1 - known
    assert Counter(row["status"] for row in rows)["failed"] == 1
    assert len(stored(tmp_path)) == DOCUMENTS - 1
    read = [engine.read[f"Letter {number}."] for number in range(1, DOCUMENTS + 1) if number != BROKEN]
    assert sum(count - 1 for count in read) <= 2 * slots  # in a slot, or read and about to be stored


def stored(directory: Path) -> list[Path]:
    return list(directory.glob("results/*/pages/????.json"))


def ended(prefect: Any, count: int) -> list[dict]:
    """Task runs of the batch are recorded from events, a moment later."""

    def recorded() -> list[dict] | None:
        runs = [run["id"] for run in prefect("flow_runs") if run["name"].startswith("batch of inbox")]
        found = prefect("task_runs", flow_runs={"id": {"any_": runs}})
        done = len(found) == count and all(each["state_type"] in {"COMPLETED", "FAILED"} for each in found)
        return found if done else None

    return until(recorded, every=0.2)

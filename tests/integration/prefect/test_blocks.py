"""A long document: blocks of pages are task runs, and each page is still shown, retried and stored by itself."""

import json
import signal
from pathlib import Path

import pymupdf
import pytest

from flows.engine.pages import BLOCK
from flows.ui.artifacts import MOST_SINGLE
from tests.support import pdfs
from tests.support.commands import Hearth
from tests.support.waiting import until

pytestmark = pytest.mark.long("reads a long document: 9 s")

PAGES = MOST_SINGLE + 5
HARD, HOPELESS = BLOCK + 5, BLOCK * 4
"""Pages with ink: the first answer to the one is no good, the other cannot be rendered. All others are blank."""


@pytest.fixture
def long(tmp_path: Path) -> Path:
    path = tmp_path / "Report 7.pdf"
    with pymupdf.open() as pdf, pymupdf.open(pdfs.with_huge_picture(tmp_path / "huge.pdf", 30_000)) as huge:
        for number in range(1, PAGES + 1):
            if number == HOPELESS:
                pdf.insert_pdf(huge, to_page=0)
            else:
                pdf.new_page().insert_text((40, 60), "Hard." if number == HARD else "", fontsize=18)
        pdf.save(path)
    return path


def test_each_block_is_a_task_run_with_a_table_of_its_pages(hearth: Hearth, prefect, serving, long: Path):
    outcome = hearth.read(long, "--longest-side", "200", **serving("fickle").settings)
    assert outcome.code == 3, outcome.err
    run = {"flow_runs": {"id": {"any_": [outcome.manifest["flow_run_id"]]}}}

    blocks = -(-PAGES // BLOCK)
    tasks = {task["name"]: task for task in _ended(lambda: prefect("task_runs", **run), blocks + 1)}
    firsts = range(1, PAGES + 1, BLOCK)
    named = {f"Report 7 pages {first}-{min(first + BLOCK - 1, PAGES)}" for first in firsts}
    assert tasks.keys() == named | {"warm up tesseract:eng"}
    partial = f"Report 7 pages {HOPELESS - BLOCK + 1}-{HOPELESS}"
    assert {name for name, task in tasks.items() if task["state_name"] != "Completed"} == {partial}
    assert (tasks[partial]["state_type"], tasks[partial]["state_name"]) == ("COMPLETED", "Partial")

    tables = {
        artifact["task_run_id"]: {row["page"]: row for row in json.loads(artifact["data"])}
        for artifact in prefect("artifacts", **run)
        if artifact["key"] is None and artifact["type"] == "table"
    }
    assert tables.keys() == {tasks[name]["id"] for name in named}
    assert sorted(page for rows in tables.values() for page in rows) == list(range(1, PAGES + 1))
    hopeless = tables[tasks[partial]["id"]][HOPELESS]
    assert (hopeless["status"], hopeless["reason"], hopeless["attempts"]) == ("failed", "size", 1)
    hard = tables[tasks[f"Report 7 pages {BLOCK + 1}-{2 * BLOCK}"]["id"]][HARD]
    assert (hard["status"], hard["attempts"]) == ("read", 2)

    assert [attempt["reason"] for attempt in outcome.page(HARD)["attempts"]] == ["empty", None]
    logged = [
        log["message"] for log in prefect("logs", logs={"flow_run_id": {"any_": [tasks[partial]["flow_run_id"]]}})
    ]
    assert any(message.startswith(f"Page {HOPELESS} of Report 7 failed: ") for message in logged)
    assert any(message.startswith(f"Page {HARD} of Report 7: The answer is empty") for message in logged)


@pytest.mark.long("takes 20 s; test_killed_run kills runs anywhere")
def test_a_run_killed_within_a_block_loses_only_the_pages_in_flight(hearth: Hearth, serving, tmp_path: Path):
    slots, stored_at_kill, small = 2, BLOCK + 8, ("--longest-side", "500")
    novel = pdfs.ending_across(tmp_path / "novel.pdf", *(f"Chapter {number}." for number in range(1, PAGES + 1)))
    engine = serving("echo", slots=slots, seconds=0.03, gate=tmp_path / "gate")
    run = hearth.start("read", novel, *small, **engine.settings)

    def enough() -> bool:
        assert run.poll() is None, run.communicate()
        return len(_stored(tmp_path)) >= stored_at_kill

    until(enough, every=0.01)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    recorded = [int(path.stem) for path in _stored(tmp_path)]
    assert len(recorded) < PAGES
    (tmp_path / "gate").touch()

    outcome = hearth.read(novel, *small, **engine.settings)
    assert (outcome.code, outcome.json["read"]) == (0, PAGES), outcome.err
    assert outcome.json["read_now"] == PAGES - len(recorded)
    times = {number: engine.read[outcome.page(number)["text"]] for number in range(1, PAGES + 1)}
    assert {times[number] for number in recorded} == {1}
    # In a slot, or read and about to be stored.
    assert sum(count - 1 for count in times.values()) <= 2 * slots


def _stored(directory: Path) -> list[Path]:
    return list(directory.glob("results/novel-*/pages/????.json"))


def _ended(ask, count: int) -> list[dict]:
    """Task runs are recorded from events, a moment later."""

    def recorded() -> list[dict] | None:
        found = ask()
        done = len(found) == count and all(each["state_type"] in {"COMPLETED", "FAILED"} for each in found)
        return found if done else None

    return until(recorded, every=0.2)

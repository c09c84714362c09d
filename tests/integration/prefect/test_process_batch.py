"""`hearth batch`: documents over the same slots, new and changed ones only, within a budget."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from tasks.results.report import Report
from tasks.results.rows import DocumentStatus, Row
from tests.benchmarks.page_times import write_pdf
from tests.integration.prefect import shared
from tests.integration.prefect.shared import Readers
from tests.support.commands import Hearth, Outcome
from tests.support.pdfs import ending_across, written
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.long("each test runs a batch: 4 to 17 s")

readers, counting = shared.readers, shared.counting


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    (folder / "deep").mkdir(parents=True)
    written(folder / "a.pdf", "One of a.", "Two of a.")
    written(folder / "b.PDF", "One of b.")
    written(folder / "deep" / "c.pdf", "One of c.", "Two of c.", "Three of c.")
    return folder


def rows(outcome: Outcome) -> dict[str, dict]:
    return {Path(row["document"]).name: row for row in json.loads(outcome.out)["rows"]}


def batch(hearth: Hearth, *arguments: str | Path, **environment: str) -> Outcome:
    return hearth("batch", *arguments, "--json", **environment)


def texts(row: dict) -> list[str]:
    pages = sorted(Path(row["output"]).glob("pages/*.json"))
    return [json.loads(page.read_text())["text"] for page in pages]


@pytest.mark.always
def test_every_pdf_of_a_folder_is_read_once(hearth: Hearth, serving, inbox: Path):
    engine = serving("echo", slots=4)
    first = batch(hearth, inbox, **engine.settings)
    assert first.code == 0, first.err
    assert {name: (row["status"], row["read_now"]) for name, row in rows(first).items()} == {
        "a.pdf": ("read", 2),
        "b.PDF": ("read", 1),
        "c.pdf": ("read", 3),
    }
    assert all(text in engine.read for row in rows(first).values() for text in texts(row))
    again = batch(hearth, inbox, **engine.settings)
    assert {row["status"] for row in rows(again).values()} == {"unchanged"}
    written(inbox / "b.PDF", "Another b.")
    third = rows(batch(hearth, inbox, **engine.settings))
    assert {name: row["status"] for name, row in third.items()} == {
        "a.pdf": "unchanged",
        "b.PDF": "read",
        "c.pdf": "unchanged",
    }


def test_a_document_that_cannot_be_read_is_reported_and_the_others_are_read(hearth: Hearth, serving, inbox: Path):
    (inbox / "a.pdf").write_text("no PDF")
    outcome = batch(hearth, inbox, **serving("echo").settings)
    assert outcome.code == 3
    found = rows(outcome)
    assert (found["a.pdf"]["status"], found["b.PDF"]["status"]) == ("failed", "read")
    assert "is not a PDF" in found["a.pdf"]["why"]


def test_short_documents_leave_no_slot_idle(readers: Readers, counting, tmp_path: Path):
    """Twelve documents of one page over four slots: when a page ends, that of another document begins."""
    folder, slots, documents = tmp_path / "short", 4, 12
    folder.mkdir()
    write_pdf(tmp_path / "long.pdf", documents)
    with pymupdf.open(tmp_path / "long.pdf") as long:
        for number in range(documents):
            with pymupdf.open() as short:
                short.insert_pdf(long, from_page=number, to_page=number)
                short.save(folder / f"{number}.pdf")
    server, ended = counting(slots, 0.05), set()
    server.exact, server.holds = True, lambda note: note.page not in ended
    readers.start_batch(1, server, folder, "--slots", str(slots))
    for _ in range(documents):
        left = documents - len(ended)
        readers.until(
            lambda left=left: (
                server.held == min(slots, left) and len(server.pages) == min(documents, documents - left + slots)
            )
        )
        ended.add(next(note.page for note in server.pages if note.ended is None))
    assert readers.outcome(1).code == 0
    assert sorted(note.page for note in server.pages) == list(range(1, documents + 1))


@pytest.mark.long("reads a batch; test_batch has the list")
def test_a_list_file_names_one_document_per_line(hearth: Hearth, serving, inbox: Path, tmp_path: Path):
    (tmp_path / "list.txt").write_text("# tonight\ninbox/a.pdf\n\ninbox/deep\n")
    outcome = batch(hearth, tmp_path / "list.txt", **serving("echo").settings)
    assert set(rows(outcome)) == {"a.pdf", "c.pdf"}


@pytest.mark.always
def test_a_missing_source_is_refused(hearth: Hearth, tmp_path: Path):
    outcome = hearth("batch", tmp_path / "nowhere")
    assert outcome.code == 2
    assert "nowhere" in outcome.err


@pytest.mark.long("takes 25 s; test_ec2_costs has the budget of a document")
def test_no_page_begins_after_the_budget_is_spent_and_the_next_run_continues(hearth: Hearth, serving, tmp_path: Path):
    folder, other = tmp_path / "long", tmp_path / "other"
    for place in (folder, other):
        place.mkdir()
    for name in ("a", "b"):
        written(folder / f"{name}.pdf", *(f"Page {number} of {name}." for number in range(30)))
    written(other / "c.pdf", "One of c.")
    began = time.monotonic()
    batch(hearth, other, "--slots", "1", **serving("echo", slots=1).settings)
    # The budget is three times what this machine takes for the first page, and all pages take three budgets.
    budget = max(6.0, 3 * (time.monotonic() - began))
    engine = serving("echo", slots=1, seconds=budget / 20)
    first = batch(hearth, folder, "--max-minutes", str(budget / 60), "--slots", "1", **engine.settings)
    assert first.code == 0, first.err
    assert "left" in {row["status"] for row in rows(first).values()}
    assert 0 < sum(row["read_now"] for row in rows(first).values()) < 60
    engine.kill()
    quick = serving("echo", slots=4)
    second = batch(hearth, folder, **quick.settings)
    assert second.code == 0, second.err
    assert sum(row["read_now"] for each in (first, second) for row in rows(each).values()) == 60


@pytest.mark.always
@pytest.mark.parametrize(("options", "code"), [([], 0), (["--must-finish"], 3)], ids=["may go on later", "must finish"])
def test_documents_that_the_budget_leaves_fail_a_batch_that_must_finish(monkeypatch: pytest.MonkeyPatch, options, code):
    """STAND-IN: a run that left a document unread."""
    row = Row(document="a.pdf", status=DocumentStatus.LEFT)
    report = Report(started_at=datetime.now(UTC), minutes=1, usd=1, rows=(row,), stopped="the budget is spent")

    def run_nothing(work: Coroutine[Any, Any, Report], **_: object) -> Report:
        work.close()
        return report

    monkeypatch.setattr("flows.cli.batch.run_command", run_nothing)
    assert CliRunner().invoke(app, ["batch", "a.pdf", *options]).exit_code == code


def test_a_batch_without_a_server_fails_with_one_line(hearth: Hearth, inbox: Path, free_port: int):
    outcome = hearth("batch", inbox, HEARTH_URL=f"http://127.0.0.1:{free_port}", HEARTH_WARM__ANSWER_SECONDS="1")
    assert outcome.code == 1
    assert "did not get warm" in outcome.err


def test_ctrl_c_keeps_the_pages_that_were_read(hearth: Hearth, serving, inbox: Path):
    ending_across(inbox / "deep" / "c.pdf", "One of c.", "Two of c.", "Three of c, which is held back.")
    engine = serving("echo", slots=1, gate=inbox / "gate")
    running = hearth.start("batch", inbox, "--json", "--slots", "1", **engine.settings)

    def stored() -> list[Path]:
        assert running.poll() is None, running.communicate()
        return list((hearth.directory / "results").glob("*/pages/*.json"))

    until(lambda: len(stored()) >= 2)  # at the least: the document with the page that is held back may come first
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130, err
    assert list((hearth.directory / "results").glob("*/pages/*.json"))


def test_documents_are_task_runs_with_results_and_the_report_is_an_artifact(
    hearth: Hearth, prefect, serving, inbox: Path
):
    assert batch(hearth, inbox, "--output", hearth.directory / "own", **serving("echo").settings).code == 0
    (run,) = prefect("flow_runs", flow_runs={"name": {"any_": ["batch of inbox"]}}, sort="START_TIME_DESC", limit=1)

    def completed() -> dict[str, dict] | None:
        tasks = prefect("task_runs", task_runs={"flow_run_id": {"any_": [run["id"]]}})
        found = {task["id"]: task for task in tasks if task["name"] in {"a.pdf", "b.PDF", "c.pdf"}}
        return found if [each["state_type"] for each in found.values()] == ["COMPLETED"] * 3 else None

    # Prefect hears of task runs by events, some of them after the run's end.
    documents = until(completed, every=0.2)
    artifacts = prefect("artifacts", artifacts={"flow_run_id": {"any_": [run["id"]]}})
    results = {each["key"]: each["task_run_id"] for each in artifacts if (each["key"] or "").endswith("-summary")}
    assert {key: documents[task]["name"] for key, task in results.items()} == {
        "hearth-a-summary": "a.pdf",
        "hearth-b-summary": "b.PDF",
        "hearth-c-summary": "c.pdf",
    }
    assert "hearth-batch-report" in {each["key"] for each in artifacts}

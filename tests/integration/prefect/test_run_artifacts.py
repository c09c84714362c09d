"""What Prefect's server stores of a run, and its UI shows."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest

from tasks.text.markdown import escaped
from tests.support import pdfs
from tests.support.commands import Hearth, Outcome
from tests.support.waiting import until

pytestmark = pytest.mark.long("each test runs the command: 4 to 15 s")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return pdfs.written(tmp_path / "Report 7.pdf", "One.", "Two.", "")


def test_runs_and_tasks_are_named_after_document_and_page(hearth: Hearth, prefect, report: Path):
    run = hearth.read(report, "--pages", "1-2").manifest["flow_run_id"]
    (flow_run,) = prefect("flow_runs", flow_runs={"id": {"any_": [run]}})
    tasks = _settled(lambda: prefect("task_runs", flow_runs={"id": {"any_": [run]}}), 3)
    assert flow_run["name"] == "Report 7, pages 1-2"
    assert {task["name"] for task in tasks} == {"warm up tesseract:eng", "Report 7 page 1", "Report 7 page 2"}
    assert {task["state_name"] for task in tasks} == {"Completed"}


@pytest.mark.always
def test_a_run_shows_its_progress_pages_slots_servers_and_a_summary(hearth: Hearth, prefect, report: Path):
    outcome = hearth.read(report)
    artifacts = _artifacts(prefect, outcome)
    assert artifacts.keys() == {"progress", "pages", "slots", "servers", "summary"}
    assert artifacts["progress"] == 100.0
    pages = {row["page"]: row for row in json.loads(artifacts["pages"])}
    assert {page: (row["status"], row["text"]) for page, row in pages.items()} == {
        1: ("read", "One."),
        2: ("read", "Two."),
        3: ("blank", ""),
    }
    assert pages[1]["seconds"] > 0
    assert (pages[1]["attempts"], pages[1]["tokens in"] > 0, pages[1]["tokens out"] > 0) == (1, True, True)
    _, _, picture = artifacts["slots"].partition("](data:image/svg+xml;base64,")
    assert fromstring(b64decode(picture.partition(")")[0])).tag.endswith("svg")
    assert "stays warm for 10 min, then stops" in artifacts["servers"]
    for told in ("**complete** Every page was read.", "2 read, 1 blank, 0 failed", "no machine was paid for"):
        assert told in artifacts["summary"]
    assert escaped(str(outcome.directory / "document.md")) in artifacts["summary"]


def test_a_run_with_nothing_left_to_read_still_shows_all_pages(hearth: Hearth, prefect, report: Path):
    hearth.read(report, "--pages", "1-2")
    artifacts = _artifacts(prefect, hearth.read(report))
    assert [row["text"] for row in json.loads(artifacts["pages"])] == ["One.", "Two.", ""]
    assert "1 of them by this run" in artifacts["summary"]


def test_failed_pages_make_a_partial_run_with_the_reason(hearth: Hearth, prefect, serving, report: Path):
    engine = serving("silent")
    outcome = hearth.read(report, "--attempts", "1", **engine.settings)
    (flow_run,) = prefect("flow_runs", flow_runs={"id": {"any_": [outcome.manifest["flow_run_id"]]}})
    artifacts = _artifacts(prefect, outcome)
    assert (flow_run["state_type"], flow_run["state_name"]) == ("COMPLETED", "Partial")
    assert "| 2 | empty | 1 | The answer is empty" in artifacts["summary"]
    assert [row["reason"] for row in json.loads(artifacts["pages"])] == ["empty", "empty", ""]
    assert "someone else runs it" in artifacts["servers"]


def test_runs_use_the_server_at_prefect_api_url(hearth: Hearth, prefect, report: Path):
    outcome = hearth.read(report)
    assert prefect("flow_runs", flow_runs={"id": {"any_": [outcome.manifest["flow_run_id"]]}})
    assert not list(Path(hearth.environment["HEARTH_HOME"]).glob("servers/prefect-*"))


def test_a_prefect_api_that_does_not_answer_is_reported_in_one_line(hearth: Hearth, report: Path):
    outcome = hearth("read", report, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "PREFECT_API_URL" in outcome.err


def test_without_excerpts_prefect_receives_no_page_text(hearth: Hearth, prefect, tmp_path: Path):
    secret = pdfs.written(tmp_path / "secret.pdf", "Xylophone")
    run = hearth.read(secret, HEARTH_EXCERPTS="false").manifest["flow_run_id"]
    scope = {"flow_runs": {"id": {"any_": [run]}}}
    told = [prefect("flow_runs", **scope), prefect("task_runs", **scope), prefect("artifacts", **scope)]
    told.append(prefect("logs", logs={"flow_run_id": {"any_": [run]}}))
    assert told[-1]
    assert "Xylophone" not in str(told)


def _artifacts(prefect, outcome: Outcome) -> dict[str, Any]:
    """The data of what a run shows, by the last part of the key."""
    run = outcome.manifest["flow_run_id"]
    found = prefect("artifacts", flow_runs={"id": {"any_": [run]}})
    # The result that a run returns is one without a key.
    return {a["key"].rpartition("-")[2]: a["data"] for a in found if a["key"]}


def _settled(ask, count: int) -> list[dict]:
    """Task runs are recorded from events, a moment later."""

    def recorded() -> list[dict] | None:
        found = ask()
        return found if len(found) == count and all(each["state_type"] == "COMPLETED" for each in found) else None

    return until(recorded, every=0.2)

"""What a person finds in Prefect's UI about a run, asked from the server's API."""

from pathlib import Path

import httpx
import pytest

from tests import pdfs
from tests.commands import Hearth


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return pdfs.written(tmp_path / "Report 7.pdf", "One.", "Two.", "")


def test_runs_and_tasks_are_named_for_document_and_page(hearth: Hearth, prefect, report: Path):
    run = hearth.read(report, "--pages", "1-2").manifest["flow_run_id"]
    (flow_run,) = prefect("flow_runs", flow_runs={"id": {"any_": [run]}})
    tasks = _settled(lambda: prefect("task_runs", flow_runs={"id": {"any_": [run]}}), 3)
    assert flow_run["name"] == "Report 7, pages 1-2"
    assert {task["name"] for task in tasks} == {"warm up tesseract:eng", "Report 7 page 1", "Report 7 page 2"}
    assert {task["state_name"] for task in tasks} == {"Completed"}


def test_a_run_shows_its_progress_a_summary_and_a_link_to_the_text(hearth: Hearth, prefect, report: Path):
    outcome = hearth.read(report)
    run = outcome.manifest["flow_run_id"]
    artifacts = {a["key"]: a for a in prefect("artifacts", flow_runs={"id": {"any_": [run]}})}
    assert artifacts["hearth-report-7-progress"]["data"] == 100.0
    assert '"pages_per_minute"' in artifacts["hearth-report-7-summary"]["data"]
    assert (outcome.directory / "document.md").as_uri() in artifacts["hearth-report-7-result"]["data"]


def test_failed_pages_make_a_partial_run_with_a_table_of_why(hearth: Hearth, prefect, serving, report: Path):
    engine = serving("silent")
    run = hearth.read(report, "--attempts", "1", **engine.settings).manifest["flow_run_id"]
    (flow_run,) = prefect("flow_runs", flow_runs={"id": {"any_": [run]}})
    artifacts = {a["key"]: a for a in prefect("artifacts", flow_runs={"id": {"any_": [run]}})}
    assert (flow_run["state_type"], flow_run["state_name"]) == ("COMPLETED", "Partial")
    assert "The answer is empty" in artifacts["hearth-report-7-failures"]["data"]


def test_runs_go_to_the_server_that_prefect_api_url_names(hearth: Hearth, prefect, report: Path, tmp_path: Path):
    hearth.read(report)
    url = prefect.url()
    outcome = hearth.read(report, "--force", HEARTH_HOME=str(tmp_path / "home"), PREFECT_API_URL=f"{url}/api")
    assert prefect("flow_runs", flow_runs={"id": {"any_": [outcome.manifest["flow_run_id"]]}})
    assert not list((tmp_path / "home").glob("servers/prefect-*"))
    hearth("stop", "--force", HEARTH_HOME=str(tmp_path / "home"))


def test_a_prefect_api_that_does_not_answer_is_told_in_one_line(hearth: Hearth, report: Path):
    outcome = hearth("read", report, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "PREFECT_API_URL" in outcome.err


def test_the_pages_of_the_local_server_find_its_api(hearth: Hearth, prefect, report: Path):
    hearth.read(report)
    assert httpx.get(f"{prefect.url()}/ui-settings").json()["api_url"] == f"{prefect.url()}/api"


def test_no_page_text_reaches_prefect(hearth: Hearth, prefect, tmp_path: Path):
    secret = pdfs.written(tmp_path / "secret.pdf", "Xylophone")
    run = hearth.read(secret).manifest["flow_run_id"]
    scope = {"flow_runs": {"id": {"any_": [run]}}}
    told = [prefect("flow_runs", **scope), prefect("task_runs", **scope), prefect("artifacts", **scope)]
    told.append(prefect("logs", logs={"flow_run_id": {"any_": [run]}}))
    assert told[-1]
    assert "Xylophone" not in str(told)


def _settled(ask, count: int) -> list[dict]:
    """Task runs are recorded from events, a moment later."""
    import time

    deadline = time.monotonic() + 20
    while True:
        found = ask()
        if len(found) == count and all(each["state_type"] == "COMPLETED" for each in found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)

"""Final states of runs in Prefect, each with one sentence: interrupted, refused, skipped; and links to texts."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.prefect.test_from_python import python
from tests.support.commands import Hearth, PrefectServer
from tests.support.pdfs import written
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.long("each test runs the command: 2 to 11 s")

RUN = """
import asyncio, sys
from flows.process_{kind} import process_{kind}
asyncio.run(process_{kind}({parameters}, return_state=True))
"""


def runs_named(prefect: PrefectServer, name: str) -> list[dict[str, Any]]:
    return prefect("flow_runs", flow_runs={"name": {"like_": name}})


def log_of(prefect: PrefectServer, run: dict[str, Any]) -> str:
    """All lines of a run's log, when its last one has arrived."""

    def arrived() -> str:
        lines = prefect("logs", logs={"flow_run_id": {"any_": [run["id"]]}}, sort="TIMESTAMP_ASC")
        text = "\n".join(line["message"] for line in lines)
        return text if "Finished in state" in text else ""

    return until(arrived, every=0.2)


@pytest.mark.parametrize("command", ["read", "batch"])
def test_ctrl_c_cancels_the_run_and_exits_with_130(
    hearth: Hearth, prefect: PrefectServer, serving, tmp_path: Path, command: str
):
    engine = serving("echo", seconds=0.2)
    folder = tmp_path / f"interrupted-{command}"
    folder.mkdir()
    document = written(folder / f"interrupted-{command}.pdf", *map(str, range(60)))
    process = hearth.start(command, document, **engine.settings)
    until(lambda: list(tmp_path.glob("results/*/pages/*.json")))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    (run,) = runs_named(prefect, f"interrupted-{command}")
    assert (run["state_type"], run["state_name"]) == ("CANCELLED", "Cancelled")
    assert "pages stored so far are kept" in run["state"]["message"]


class TestRefused:
    def test_a_refused_batch_creates_no_run(self, hearth: Hearth, prefect, tmp_path: Path):
        outcome = hearth("batch", tmp_path / "no-such-folder")
        assert outcome.code == 2
        assert outcome.err.count("\n") == 1
        assert runs_named(prefect, "no-such-folder") == []

    def test_a_batch_without_sources_and_inbox_creates_no_run(self, hearth: Hearth, prefect: PrefectServer):
        before = len(runs_named(prefect, "batch of the inbox"))
        outcome = hearth("batch", "--json")
        assert (outcome.code, outcome.json["exit_code"]) == (2, 2)
        assert "HEARTH_INBOX" in outcome.json["error"]
        assert len(runs_named(prefect, "batch of the inbox")) == before

    @pytest.mark.parametrize(
        ("name", "settings", "told"),
        [
            ("missing", {}, "does not exist"),
            ("unreachable", {"HEARTH_URL": "http://127.0.0.1:9", "HEARTH_WARM__ANSWER_SECONDS": "1"}, "127.0.0.1:9"),
        ],
    )
    def test_a_failed_run_has_one_sentence_and_no_traceback(
        self, hearth: Hearth, prefect: PrefectServer, tmp_path: Path, name, settings, told
    ):
        path = tmp_path / f"quiet-{name}.pdf"
        if name != "missing":
            written(path, "One.")
        code = RUN.format(kind="document", parameters=f"{{'document': {str(path)!r}}}")
        python(hearth, code, HEARTH_BACKEND="url" if settings else "embedded", HEARTH_MODEL="tesseract:eng", **settings)
        (run,) = runs_named(prefect, f"quiet-{name}")
        assert run["state_name"] == "Failed"
        assert told in run["state"]["message"]
        assert "\n" not in run["state"]["message"]
        log = log_of(prefect, run)
        assert told in log
        assert "Traceback" not in log


def test_a_nightly_batch_without_an_inbox_is_skipped(hearth: Hearth, prefect: PrefectServer, tmp_path: Path):
    inbox = tmp_path / "no-inbox-here"
    python(hearth, RUN.format(kind="batch", parameters="{}"), HEARTH_INBOX=str(inbox))
    found = [run for run in runs_named(prefect, "batch of the inbox") if str(inbox) in run["state"]["message"]]
    assert [(run["state_type"], run["state_name"]) for run in found] == [("COMPLETED", "Skipped")]


def test_a_batch_links_each_text_and_explains_why_one_run_reads(
    hearth: Hearth, prefect: PrefectServer, serving, tmp_path: Path
):
    folder = tmp_path / "linked (one)"
    folder.mkdir()
    for name in ("a", "b"):
        written(folder / f"{name}.pdf", f"{name} one.")
    options = ("--json", "--workers", "2", "--worker-pages", "300")
    outcome = hearth("batch", folder, *options, "--output", tmp_path / "results of it", **serving("echo").settings)
    assert outcome.code == 0, outcome.err
    assert "One run reads, and not 2 workers: 2 pages are to be read, and each worker gets 300" in outcome.err
    texts = [Path(row["text"]) for row in json.loads(outcome.out)["rows"]]
    assert [text.name for text in texts] == ["document.md"] * 2
    (report,) = (tmp_path / "results of it" / "batches").glob("2*.md")
    (run,) = runs_named(prefect, "batch of linked (one)")
    artifacts = prefect(
        "artifacts", flow_runs={"id": {"any_": [run["id"]]}}, artifacts={"key": {"like_": "batch-report"}}
    )
    for text in texts:
        assert text.exists()
        assert f"]({text.as_uri()})" in report.read_text()
        assert f"]({text.as_uri()})" in artifacts[0]["data"]
    again = hearth("batch", folder, "--json", "--output", tmp_path / "results of it", **serving("echo").settings)
    assert [Path(row["text"]) for row in json.loads(again.out)["rows"]] == texts

"""Cancel, Pause, Resume and Retry in Prefect's UI, and crashes, with a real server, worker and page server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.orchestrator.automations import AutomationOptions, apply_automations, define_automations
from flows.ui.artifacts import MOST_SINGLE
from tests.integration.prefect.hearth_up import processes
from tests.integration.prefect.prefect_processes import Processes, pages, prefect_processes
from tests.support.pdfs import ending_across, written
from tests.support.waiting import until

pytestmark = [pytest.mark.long("starts Prefect and a worker anew, again and again"), pytest.mark.timeout(1800)]

SINGLE, BLOCKS = 60, MOST_SINGLE + 5


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with prefect_processes(tmp_path_factory.mktemp("processes")) as processes:
        yield processes


@pytest.fixture
def prefect(running: Processes) -> Iterator[Processes]:
    """The processes that the tests share. No document is read to its end before the test lets it."""
    for name in ("server", "engine", "worker"):
        if name not in running.running:
            running.start(name)
    running.hold()
    yield running
    running.let_go()


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


def document(directory: Path, count: int) -> Path:
    """Of pages that no other test has; the last one is held back."""
    return ending_across(directory / "long.pdf", *(f"{directory.name} {number}" for number in range(count)))


def stopped(run: str, output: Path) -> int:
    """How many pages are stored when the run's process has ended, so that no more can come."""
    until(lambda: not processes("PREFECT__FLOW_RUN_ID", run))
    return len(pages(output))


def texts(paths: list[Path]) -> set[str]:
    return {json.loads(path.read_text())["text"] for path in paths}


def whole(prefect: Processes, output: Path, count: int, kept: set[str]) -> None:
    """All pages stand, and those that stood before were not read again."""
    assert len(pages(output)) == count
    assert {prefect.read[text] for text in kept} == {1}


@pytest.mark.parametrize("count", [SINGLE, BLOCKS])
def test_cancel_stops_reading_keeps_stored_pages_and_frees_slots(
    prefect: Processes, tmp_path: Path, output: Path, count: int
):
    run = prefect.begin(document(tmp_path, count), output)
    prefect.cancel(run)
    assert prefect.ended(run)["state_name"] == "Cancelled"
    assert prefect.claims == []
    assert 3 <= stopped(run, output) < count
    until(lambda: set(prefect.tasks(run).values()) == {"Completed", "Cancelled"})
    known = texts(pages(output))
    prefect.let_go()
    prefect.retry(run)
    assert prefect.ended(run)["state_name"] == "Completed"
    whole(prefect, output, count, known)


@pytest.mark.parametrize("count", [SINGLE, BLOCKS])
def test_pause_stops_reading_and_frees_slots_and_resume_reads_the_other_pages(
    prefect: Processes, tmp_path: Path, output: Path, count: int
):
    run = prefect.begin(document(tmp_path, count), output)
    prefect.suspend(run)
    assert stopped(run, output) < count
    until(lambda: prefect.claims == [])
    assert prefect.state(run) == "Suspended"
    until(lambda: set(prefect.tasks(run).values()) == {"Completed", "Cancelled"})
    known = texts(pages(output))
    prefect.let_go()
    prefect.resume(run)
    assert prefect.ended(run)["state_name"] == "Completed"
    whole(prefect, output, count, known)


@pytest.mark.parametrize("ends", ["suspend", "cancel"])
def test_an_interrupted_forced_run_continues_with_its_unread_pages(
    prefect: Processes, tmp_path: Path, output: Path, ends: str
):
    """All pages were stored before; those that the interrupted run has read again are not read a third time."""
    path = written(tmp_path / "long.pdf", *(f"{tmp_path.name} {number}" for number in range(SINGLE)))
    job = {"document": str(path), "output": str(output)}
    assert prefect.ended(prefect.run("process-document/on-demand", job=job))["state_name"] == "Completed"
    before = prefect.read
    run = prefect.run("process-document/on-demand", job=job | {"force": True})
    until(lambda: (prefect.read - before).total() >= 10)
    getattr(prefect, ends)(run)
    stopped(run, output)
    until(lambda: prefect.state(run) in {"Suspended", "Cancelled"})
    prefect.resume(run) if ends == "suspend" else prefect.retry(run)
    assert prefect.ended(run)["state_name"] == "Completed"
    # Each page was read once before; the image that warm-ups measure with, more often.
    more = sum(count for image, count in (prefect.read - before).items() if before[image] <= 1)
    assert SINGLE <= more <= SINGLE + 4  # pages in a slot when it was interrupted


@pytest.mark.parametrize("ends", ["suspend", "cancel"])
def test_a_paused_or_cancelled_batch_continues_with_the_unread_pages(
    prefect: Processes, tmp_path: Path, output: Path, ends: str
):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name in range(10):
        ending_across(inbox / f"{name}.pdf", *(f"{ends} {name} {number}" for number in range(6)))
    batch = {"sources": [str(inbox)], "output": str(output)}
    run = prefect.run("process-batch/nightly", batch=batch)
    until(lambda: len(pages(output)) >= 8)
    getattr(prefect, ends)(run)
    until(lambda: prefect.state(run) in {"Suspended", "Cancelled"})
    assert stopped(run, output) < 60
    known = texts(pages(output))
    until(lambda: prefect.claims == [])
    until(lambda: set(prefect.tasks(run).values()) == {"Completed", "Cancelled"})
    prefect.let_go()
    prefect.resume(run) if ends == "suspend" else prefect.retry(run)
    assert prefect.ended(run)["state_name"] == "Completed"
    whole(prefect, output, 60, known)


def test_retry_of_a_failed_run_continues(prefect: Processes, tmp_path: Path, output: Path):
    run = prefect.begin(document(tmp_path, SINGLE), output)
    prefect.kill("engine")
    failed = prefect.ended(run)
    assert failed["state_name"] == "Failed"
    assert "The pages stored so far are kept" in failed["state"]["message"]
    known = texts(pages(output))
    prefect.start("engine")
    prefect.let_go()
    prefect.retry(run)
    assert prefect.ended(run)["state_name"] == "Completed"
    whole(prefect, output, SINGLE, known)


def test_a_restart_of_the_prefect_server_loses_no_page(prefect: Processes, tmp_path: Path, output: Path):
    run = prefect.begin(document(tmp_path, SINGLE), output)
    prefect.kill("server")
    stored = len(pages(output))
    until(lambda: len(pages(output)) > stored + 5)
    prefect.start("server")
    prefect.let_go()
    assert prefect.ended(run)["state_name"] == "Completed"
    assert len(pages(output)) == SINGLE
    assert prefect.claims == []


def test_a_run_whose_worker_is_killed_completes(prefect: Processes, tmp_path: Path, output: Path):
    run = prefect.begin(document(tmp_path, SINGLE), output)
    prefect.kill("worker", children=False)
    prefect.let_go()
    assert prefect.ended(run)["state_name"] == "Completed"
    assert len(pages(output)) == SINGLE
    assert {prefect.read[text] for text in texts(pages(output))} == {1}
    assert prefect.claims == []
    prefect.start("worker")


def test_a_run_killed_with_its_worker_becomes_crashed_but_not_an_active_or_a_paused_one(
    prefect: Processes, tmp_path: Path
):
    outputs = {name: tmp_path / name for name in ("paused", "killed", "lives")}
    for output in outputs.values():
        output.mkdir()

    def short(name: str) -> Path:
        return written(outputs[name] / "short.pdf", *(f"{name} {number}" for number in range(SINGLE)))

    async def automated(wanted: AutomationOptions | None) -> None:
        async with get_client() as client:
            await apply_automations(client, await define_automations(client, wanted) if wanted is not None else [])

    with temporary_settings({PREFECT_API_URL: prefect.api}):
        asyncio.run(automated(AutomationOptions(vanished_minutes=1.5)))
        paused = prefect.begin(short("paused"), outputs["paused"])
        prefect.suspend(paused)
        stopped(paused, outputs["paused"])
        killed = prefect.begin(short("killed"), outputs["killed"])
        prefect.kill("worker")
        known = texts(pages(outputs["killed"]))
        prefect.start("worker")
        lives = prefect.begin(document(outputs["lives"], SINGLE), outputs["lives"])
        crashed = prefect.ended(killed)
        assert crashed["state_name"] == "Crashed"
        assert "has sent no heartbeat" in crashed["state"]["message"]
        assert prefect.state(lives) == "Running"
        time.sleep(15)  # the paused run told that it lived before the other did
        assert prefect.state(paused) == "Suspended"
        asyncio.run(automated(None))
    prefect.let_go()
    prefect.retry(killed)
    prefect.resume(paused)
    for run, name in ((killed, "killed"), (paused, "paused")):
        assert prefect.ended(run)["state_name"] == "Completed"
        assert len(pages(outputs[name])) == SINGLE
    assert {prefect.read[text] for text in known} == {1}
    assert prefect.ended(lives)["state_name"] == "Completed"

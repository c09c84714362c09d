"""Processes that are killed, stopped and restarted during a run lose no page and block nothing for ever."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tasks.slots.store import FileStore
from tests.faults.conftest import Stage, Staged
from tests.faults.marks import Page
from tests.support.commands import Hearth, PrefectServer
from tests.support.pdfs import written
from tests.support.prefect_home import password_in, seed
from tests.support.waiting import PATIENCE, until

PAGES = 8


@pytest.fixture(scope="module")
def stage(staged: Staged) -> Stage:
    """A server of two slots; each test has documents of its own."""
    return staged(slots=2, seconds=0.25)


@contextmanager
def running(stage: Stage, document: int, pages: int = PAGES, stored: int = 2, **settings: str) -> Iterator:
    """A command that has stored some pages; it does not outlive the test."""
    with stage.start(document, pages, **settings) as process:
        try:
            until(lambda: len(stage.stored(document)) >= stored or process.poll() is not None)
            assert process.poll() is None, process.communicate()
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> None:
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, out + err


def test_the_run_continues_after_a_restart_of_the_page_server(stage: Stage):
    with running(stage, 1) as process:
        stage.server.kill()
        asked = len(stage.proxy.asked())
        until(lambda: len(stage.proxy.asked()) > asked)  # in vain
        stage.server.start()
        ended(process)
    assert stage.troubles(1, PAGES) == []
    again = stage.read_more_than_once(1)
    assert len(again) <= 2
    for page, count in again.items():
        assert len(stage.attempts(1, page.number)) >= count


@pytest.mark.long("waits for a page's timeout")
def test_the_run_continues_after_the_page_server_was_silent_longer_than_the_timeout(stage: Stage):
    with running(stage, 2, HEARTH_READ__TIMEOUT_SECONDS="1", HEARTH_READ__TIMEOUT_LEAST_SECONDS="1") as process:
        stage.server.freeze()
        until(lambda: any(call.left for call in stage.proxy.asked() if call.page and call.page.document == 2))
        stage.server.thaw()
        ended(process)
    assert stage.troubles(2, PAGES) == []


@pytest.mark.long("waits for leases to end")
def test_a_run_stopped_longer_than_its_leases_continues_and_blocks_nobody(staged: Staged):
    """Its slots go to others, and it does not use them any more when it continues."""
    stage = staged(slots=2, seconds=0.25)
    with running(stage, 3, 12) as first, running(stage, 4, 200, stored=0) as second:
        first.send_signal(signal.SIGSTOP)
        until(lambda: _slots_of_all(stage) == [2])
        assert second.poll() is None
        first.send_signal(signal.SIGCONT)
        ended(first)
        ended(second)
    assert stage.troubles(3, 12) == []
    assert stage.troubles(4, 200) == []
    assert stage.proxy.pages_at_once == 2


@pytest.mark.long("takes 14 s")
def test_a_run_that_waits_for_a_document_continues_when_the_other_run_is_killed(stage: Stage):
    with running(stage, 5) as first:
        stage.server.freeze()  # so that the first does not end before the second has come
        second = stage.start(5, PAGES)
        until(lambda: _has_begun(second.pid))
        time.sleep(1)
        first.send_signal(signal.SIGKILL)
        first.wait()
        stored = {path.name: path.read_bytes() for path in stage.stored(5)}
        stage.server.thaw()
        with second:
            ended(second)
    assert stage.troubles(5, PAGES) == []
    read = stage.server.read
    for path in stage.stored(5):
        if path.name in stored:
            assert path.read_bytes() == stored[path.name]
            assert read[Page(5, int(path.stem))] == 1


def test_pages_are_read_while_prefects_server_is_stopped(stage: Stage, prefect: PrefectServer):
    """Reading continues at the same speed."""
    with running(stage, 6) as process:
        os.kill(prefect.pid, signal.SIGSTOP)
        try:
            until(lambda: len(stage.stored(6)) == PAGES)
        finally:
            os.kill(prefect.pid, signal.SIGCONT)
        ended(process)
    assert stage.troubles(6, PAGES) == []


@pytest.mark.long("starts a Prefect server")
def test_a_killed_prefect_server_is_replaced_and_records_the_end_of_the_run(stage: Stage, tmp_path: Path):
    home = {
        "HEARTH_HOME": str(tmp_path / "home"),
        "PREFECT_HOME": str(seed(tmp_path / "home" / "prefect")),
        "PREFECT_API_URL": "",
    }
    try:
        with running(stage, 7, **home) as process:
            os.kill(_prefect(tmp_path / "home"), signal.SIGKILL)
            _, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, err
        assert "Prefect's server does not answer" not in err
        assert ended_in_prefect(tmp_path / "home") == ["Completed"]
        assert stage.troubles(7, PAGES) == []
        assert stage.read(8, 2, **home).code == 0
        assert stage.troubles(8, 2) == []
    finally:
        Hearth(tmp_path, {**stage.hearth.environment, **home})("stop", "--force")


@pytest.mark.long("waits for an idle time")
def test_hearths_own_server_is_not_stopped_while_its_run_is_suspended(hearth: Hearth, tmp_path: Path):
    """The idle time passes while the run is suspended; then the server still runs, and no page is lost."""
    servers = tmp_path / "home" / "servers"
    novel = written(tmp_path / "novel.pdf", *(f"Chapter {number} of the novel." for number in range(1, 9)))
    own = {"HEARTH_HOME": str(tmp_path / "home"), "HEARTH_IDLE_MINUTES": "0.02", "HEARTH_SLOTS": "1"}
    with hearth.start("read", novel, "--json", "--backend", "embedded", **own) as process:
        try:
            until(lambda: len(list(tmp_path.glob("results/novel-*/pages/????.json"))) > 1 or process.poll() is not None)
            (record,) = servers.glob("embedded-*/server.json")
            server = json.loads(record.read_text())["server_pid"]
            process.send_signal(signal.SIGSTOP)
            time.sleep(3)
            os.kill(server, 0)
            process.send_signal(signal.SIGCONT)
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert json.loads(out)["read"] == 8


def _has_begun(pid: int) -> bool:
    """Whether a command has imported what it needs and runs its event loop."""
    return any(str(each.readlink()) == "anon_inode:[eventpoll]" for each in Path(f"/proc/{pid}/fd").iterdir())


def _slots_of_all(stage: Stage) -> list[int]:
    """How many slots each run holds whose claim has not ended."""
    store = FileStore.of(Path(stage.hearth.environment["HEARTH_HOME"]), stage.proxy.url)
    ledger = asyncio.run(store.change(lambda ledger: ledger)).live(time.time())
    return [claim.holds for claim in ledger.claims.values()]


def ended_in_prefect(home: Path) -> list[str]:
    """The states of the runs that the Prefect server of a home knows."""
    (record,) = home.glob("servers/prefect-*/server.json")
    url = json.loads(record.read_text())["url"]
    found = httpx.post(f"{url}/api/flow_runs/filter", json={}, auth=password_in(home), timeout=PATIENCE)
    return [run["state_name"] for run in found.raise_for_status().json()]


def _prefect(home: Path) -> int:
    (record,) = home.glob("servers/prefect-*/server.json")
    return json.loads(record.read_text())["server_pid"]

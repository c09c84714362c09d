"""`hearth top` and `hearth metrics`: what people and programs see of runs in other processes."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flows.cli.console import Terminal
from flows.cli.top import drawn
from tasks.backends.ec2.pool import Pool
from tasks.core.errors import CloudError
from tasks.metrics.live import LiveFile, live_runs
from tasks.metrics.top import Watch
from tasks.metrics.totals import TotalsSink
from tasks.slots.ledger import Ledger, Measured, SlotClaim
from tasks.slots.store import FileStore
from tests.benchmarks.page_times import write_pdf
from tests.support.commands import ROOT, Hearth
from tests.support.metrics.runs import live_run
from tests.support.ollama.counting import CountingOllama, counting_ollama, run_settings
from tests.support.waiting import PATIENCE, until
from tests.unit.tasks.metrics.measured_pages import some_pages

URL = "http://127.0.0.1:11434"


async def told(home: Path, width: int = 160) -> str:
    console = Terminal(width=width, file=io.StringIO())
    console.print(drawn(await Watch(home).look(), [{"use": 82.0, "memory": 61.0}]))
    return console.file.getvalue()


async def test_a_run_is_shown_with_its_slots_latency_rates_and_cost(tmp_path: Path):
    LiveFile(tmp_path).write(live_run(in_flight=3, slots=4))
    text = await told(tmp_path)
    for fact in ("paper on here", "20 of 50", "3/4", "6.5 s", "9.2 s", "33", "210", "0.0131", "GPU 82 %, memory 61 %"):
        assert fact in text, fact


async def test_slots_are_shown_whoever_holds_them(tmp_path: Path):
    now = time.time()

    def shared(ledger: Ledger) -> Ledger:
        claims = {run: SlotClaim(wants=4, holds=3, ends_at=now + 36_000, came_at=now) for run in ("a", "b")}
        measured = {"m": Measured(what="m", slots=8, asked=8, at=now)}
        return ledger.model_copy(update={"claims": claims, "measured": measured, "limit": 6})

    await FileStore.of(tmp_path, URL).change(shared)
    LiveFile(tmp_path).write(live_run(in_flight=3))
    (server,) = (await Watch(tmp_path).look()).servers
    assert (server.url, server.in_flight) == (URL, 3)
    assert (server.slots.held, server.slots.served, server.slots.limit, server.slots.runs) == (6, 8, 6, 2)
    assert "6/8, 6 at once now" in await told(tmp_path)


async def test_slots_that_were_only_asked_for_are_shown_as_such(tmp_path: Path):
    def begun(ledger: Ledger) -> Ledger:
        measured = {"m": Measured(what="m", slots=8, asked=8, at=time.time(), sure=False)}
        return ledger.model_copy(update={"measured": measured, "limit": 8})

    await FileStore.of(tmp_path, URL).change(begun)
    LiveFile(tmp_path).write(live_run(in_flight=3))
    assert "0/8, asked for, not yet seen" in await told(tmp_path)


async def test_top_changes_no_ledger(tmp_path: Path):
    LiveFile(tmp_path).write(live_run())
    await Watch(tmp_path).look()
    assert not list((tmp_path / "slots").glob("*.json"))


async def test_text_of_a_document_is_not_interpreted_as_markup(tmp_path: Path):
    LiveFile(tmp_path).write(live_run(name="[red]paper[/red] on here"))
    assert "[red]paper[/red] on here" in await told(tmp_path)


async def test_without_runs_or_with_damaged_files_no_run_is_shown(tmp_path: Path):
    assert "0 runs" in await told(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "1-x.json").write_text("rubbish")
    assert "0 runs" in await told(tmp_path)


async def test_an_unreachable_cloud_hides_no_run(tmp_path: Path):
    async def find_pool() -> Pool:
        raise CloudError("AWS could not be asked.")

    LiveFile(tmp_path).write(live_run())
    view = await Watch(tmp_path, find_pool).look()
    assert (len(view.runs), view.trouble) == (1, "AWS could not be asked.")


@pytest.fixture
def server() -> Iterator[CountingOllama]:
    with counting_ollama(3, 0.3) as counting:
        yield counting


@pytest.mark.long("runs the command: 11 s")
def test_a_run_of_another_process_is_shown_until_it_ends(hearth: Hearth, server: CountingOllama, tmp_path: Path):
    write_pdf(tmp_path / "report.pdf", 30)
    server.stuck.update(range(10, 31))
    options = "--json", "--slots", "3"
    run = hearth.start("read", tmp_path / "report.pdf", *options, HEARTH_URL=server.url, **run_settings(1))
    home = Path(hearth.environment["HEARTH_HOME"])

    def shown() -> bool:
        assert run.poll() is None, run.communicate()
        return any(each.pid == run.pid and each.done == 9 and each.in_flight == 3 for each in live_runs(home))

    until(shown)
    seen = json.loads(hearth("top", "--json").out)
    (mine,) = (each for each in seen["runs"] if each["pid"] == run.pid)
    assert (mine["asked"], mine["slots"], mine["stage"]) == (30, 3, "reading")
    assert mine["p50"] >= 0.3
    (slots,) = (each["slots"] for each in seen["servers"] if each["url"] == server.url)
    assert (slots["served"], slots["held"]) == (3, 3)
    server.stuck.clear()
    out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, (out, err)
    assert run.pid not in [each.pid for each in live_runs(home)]


def test_metrics_are_served_until_the_command_is_stopped(tmp_path: Path):
    TotalsSink(tmp_path, ("url", "m")).publish(some_pages().snapshot())
    command = [sys.executable, "-P", "-m", "flows.cli.main", "metrics", "--serve", "--port", "0"]
    environment = {**os.environ, "HEARTH_HOME": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as serving:
        try:
            url = serving.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/metrics", url)
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                families = {family.name: family for family in text_string_to_metric_families(answer.read().decode())}
            serving.send_signal(signal.SIGINT)
            assert serving.wait(PATIENCE) == 0
        finally:
            serving.kill()
    assert families["hearth_pages"].samples[0].value == 3

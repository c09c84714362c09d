"""Servers that a run starts on this machine: reused by the next run, and never left over."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support import pdfs
from tests.support.commands import Hearth
from tests.support.prefect_home import password_in
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.long("each test starts a page server and waits for its end: 5 to 30 s")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return pdfs.written(tmp_path / "page.pdf", "The quick brown fox.")


@pytest.fixture
def own_home(hearth: Hearth, tmp_path: Path):
    """The command with a home of its own for the page servers."""
    own = Hearth(hearth.directory, {**hearth.environment, "HEARTH_HOME": str(tmp_path / "home")})
    yield own
    own("stop", "--force")


def test_without_a_prefect_server_one_is_started_whose_ui_finds_its_api(newcomer: Hearth, page: Path):
    assert newcomer.read(page).code == 0
    (record,) = Path(newcomer.environment["HEARTH_HOME"]).glob("servers/prefect-*/server.json")
    url = json.loads(record.read_text())["url"]
    assert httpx.get(f"{url}/ui-settings").json()["api_url"] == f"{url}/api"
    assert "prefect" in newcomer("status").out
    # It asks for a password, and the run that had it is there with all that it told.
    assert httpx.post(f"{url}/api/flow_runs/filter", json={}).status_code == 401
    auth = password_in(Path(newcomer.environment["HEARTH_HOME"]))

    def told(kind: str, **wanted: object) -> list[dict[str, Any]]:
        found = httpx.post(f"{url}/api/{kind}/filter", json=wanted, auth=auth).raise_for_status().json()
        return found["events"] if kind == "events" else found

    assert [run["state_name"] for run in told("flow_runs")] == ["Completed"]
    until(lambda: {run["state_name"] for run in told("task_runs")} == {"Completed"})
    until(lambda: {"prefect.flow-run.Completed", "hearth.run.progress"} <= {each["event"] for each in told("events")})
    until(lambda: told("logs"))
    assert not list(Path(newcomer.environment["HEARTH_HOME"]).glob("prefect-ends/*"))


def _running(home: str, module: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        # A watchdog's command line ends with that of its server.
        named = line.split(" -m ")[1:2]
        if home in line and named and named[0].startswith(module) and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def _gone(home: str, module: str) -> bool:
    return until(lambda: not _running(home, module), every=0.1)


def test_the_next_run_finds_the_server_warm(own_home: Hearth, page: Path):
    first = own_home.read(page)
    second = own_home.read(page, "--force")
    assert first.manifest["endpoint"]["url"] == second.manifest["endpoint"]["url"]
    assert len(_running(own_home.environment["HEARTH_HOME"], "tasks.embedded")) == 1


def test_status_lists_warm_servers_and_stop_stops_them(own_home: Hearth, page: Path):
    own_home.read(page)
    assert "embedded" in own_home("status").out
    until(lambda: "stops in" in own_home("status").out)
    assert "stops" in own_home("stop").out
    assert _gone(own_home.environment["HEARTH_HOME"], "tasks.embedded")


def test_a_server_stops_after_its_idle_time(own_home: Hearth, page: Path):
    assert own_home.read(page, HEARTH_IDLE_MINUTES="0.02").code == 0
    assert _gone(own_home.environment["HEARTH_HOME"], "tasks.embedded")
    assert _gone(own_home.environment["HEARTH_HOME"], "tasks.backends.local.watchdog")


def test_a_server_stops_after_the_run_that_started_it_was_killed(own_home: Hearth, page: Path):
    home = own_home.environment["HEARTH_HOME"]
    process = own_home.start("read", page, HEARTH_IDLE_MINUTES="0.02")

    def started() -> bool:
        assert process.poll() is None, process.communicate()
        return bool(_running(home, "tasks.embedded"))

    until(started)
    process.kill()
    process.communicate()
    assert _gone(home, "tasks.embedded")


class TestOllamaOnThisMachine:
    """The binary is simulated: a script named ollama that serves the embedded server's API as `ollama serve` would."""

    @pytest.fixture
    def path(self, tmp_path: Path, session_home: Path) -> str:
        binary = tmp_path / "bin" / "ollama"
        binary.parent.mkdir()
        binary.write_text(
            "#!/bin/sh\n"
            '[ "$1" = serve ] || exit 2\n'
            "sleep 600 &\n"  # its llama-server
            f'exec "{sys.executable}" -P -m tasks.embedded --port "${{OLLAMA_HOST##*:}}" '
            f'--num-parallel "$OLLAMA_NUM_PARALLEL" --models "{session_home}/ollama"\n'
        )
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
        return f"{binary.parent}{os.pathsep}{os.environ['PATH']}"

    @pytest.fixture
    def settings(self, path: str, free_port: int) -> dict[str, str]:
        return {
            "PATH": path,
            "OLLAMA_HOST": f"127.0.0.1:{free_port}",
            "HEARTH_MODEL": "tesseract:eng",
            "HEARTH_SLOTS": "2",
        }

    def test_ollama_is_started_if_none_answers_and_stopped_when_idle(self, own_home: Hearth, page: Path, settings):
        outcome = own_home.read(page, "--backend", "ollama", **settings, HEARTH_IDLE_MINUTES="0.02")
        assert outcome.code == 0, outcome.err
        assert outcome.manifest["endpoint"]["url"] == f"http://{settings['OLLAMA_HOST']}"
        assert _gone(settings["OLLAMA_HOST"].rpartition(":")[2], "tasks.embedded --port")

    def test_a_killed_server_is_replaced_with_one_warning(self, own_home: Hearth, tmp_path: Path, settings):
        pages = pdfs.written(tmp_path / "pages.pdf", *["The quick brown fox."] * 14)
        run = own_home.start("read", pages, "--backend", "ollama", **settings)
        until(lambda: list(tmp_path.glob("**/pages/0001.json")))
        port = settings["OLLAMA_HOST"].rpartition(":")[2]
        (killed,) = _running(port, "tasks.embedded --port")
        children = killed.children()
        killed.kill()
        _, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, err
        assert err.count("Note:") == 1, err
        assert "has ended" in err
        assert "run again" not in err
        assert all(not child.is_running() for child in children)

    @pytest.mark.long("starts servers of its own")
    def test_a_server_that_somebody_else_started_is_used_and_not_stopped(self, own_home: Hearth, page: Path, settings):
        command = [shutil.which("ollama", path=settings["PATH"]), "serve"]
        environment = {**own_home.environment, **settings, "OLLAMA_NUM_PARALLEL": "2"}
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as server:
            try:
                outcome = own_home.read(page, "--backend", "ollama", **settings, HEARTH_IDLE_MINUTES="0.02")
                assert server.poll() is None
            finally:
                server.send_signal(signal.SIGTERM)
        assert outcome.code == 0, outcome.err
        assert not list(Path(own_home.environment["HEARTH_HOME"]).glob("servers/ollama-*"))

    def test_auto_chooses_ollama_if_it_is_on_path(self, own_home: Hearth, page: Path, settings):
        # OLLAMA_HOST would be taken for the address of a server that someone runs.
        del settings["OLLAMA_HOST"]
        outcome = own_home("read", page, **settings, HEARTH_WARM__DEADLINE_SECONDS="20")
        assert "ollama is on PATH" in outcome.err

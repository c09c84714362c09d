"""Each run is a fork of a warm process, apart from all others, or starts anew."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import psutil
import pytest

from flows.local import run_launcher
from tests.support.environment import clean
from tests.support.waiting import PATIENCE, until

ENGINE = """
import os, socket, sys
sys.path.insert(0, os.environ["CODE"])
import changing
from flows.local import warm_engine
from flows.local.run_engine import import_engine
from tasks.core.imports import importing
with importing():
    import_engine()
warm_engine.run = lambda: exec(os.environ["DO"], {})
warm_engine.serve(socket.socket(fileno=int(sys.argv[1])), os.dup(0))
"""
"""The warm engine, whose runs do what a variable says."""


class Engine:
    """A warm engine, and runs of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.code = directory / "changing.py"
        self.code.write_text("value = 1")
        # As the worker starts runs: with its settings, the default profile's among them.
        settings = {"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_SERVER_EPHEMERAL_ENABLED": "True"}
        self.environment = {**clean(), **settings, "CODE": str(directory)}
        self.address = f"hearth-test-{token_hex(8)}"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"\0{self.address}")
            listener.listen()
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", ENGINE, str(listener.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                env=self.environment,
            )

    def start(self, do: str, cwd: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        """Start a run that does something in a fork; a new process prints `anew` instead."""
        command = ["-I", "-S", run_launcher.__file__, self.address, "-c", "print('anew')"]
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=cwd or self.directory,
            env={**self.environment, "DO": do, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, do: str, cwd: Path | None = None, **environment: str) -> str:
        """Run something to its end, and return what it printed."""
        with self.start(do, cwd, **environment) as process:
            out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        assert err == ""
        return out.strip()

    def hold(self, do: str = "pass") -> tuple[subprocess.Popen[str], psutil.Process]:
        """Start a run that waits for a signal, and return it with its fork."""
        process = self.start(f"import os, signal, sys, time\n{do}\nprint(os.getpid(), flush=True)\ntime.sleep(600)")
        assert process.stdout is not None
        return process, psutil.Process(int(process.stdout.readline()))

    def end(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(tmp_path_factory.mktemp("engine"))
    yield engine
    engine.end()


@pytest.fixture
def own(tmp_path: Path, clean_environment: None) -> Iterator[Engine]:
    """An engine that a test may end."""
    engine = Engine(tmp_path)
    yield engine
    engine.end()


def ended(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=PATIENCE)
    return process.returncode


def gone(fork: psutil.Process) -> bool:
    """Return whether a process has ended; one that lost its parent may stay a zombie."""
    return not fork.is_running() or fork.status() == psutil.STATUS_ZOMBIE


# What a run sees


def test_a_run_has_the_environment_of_its_own_process_and_nothing_else(shared: Engine):
    printed = shared.run("import json, os; print(json.dumps(dict(os.environ)))", HEARTH_MODEL="one", LETTERS="é\udcff")
    assert json.loads(printed) == {**shared.environment, "DO": json.loads(printed)["DO"]} | {
        "HEARTH_MODEL": "one",
        "LETTERS": "é\udcff",
    }
    assert "HEARTH_MODEL" not in json.loads(shared.run("import json, os; print(json.dumps(dict(os.environ)))"))


def test_a_run_is_in_the_directory_of_its_own_process(shared: Engine, tmp_path: Path):
    assert shared.run("import os; print(os.getcwd())", cwd=tmp_path) == str(tmp_path)


def test_a_run_has_its_own_processs_settings_of_prefect(shared: Engine):
    ask = "from prefect.settings import get_current_settings as s; print(s().api.url, s().logging.level)"
    printed = shared.run(ask, PREFECT_API_URL="http://127.0.0.1:8/api", PREFECT_LOGGING_LEVEL="ERROR")
    assert printed == "http://127.0.0.1:8/api ERROR"


def test_a_run_reads_the_env_file_of_its_directory_as_it_is_then(shared: Engine, tmp_path: Path):
    ask = "from tasks.settings.settings import load_settings; print(load_settings().model)"
    for model in ("one", "two"):
        (tmp_path / ".env").write_text(f"HEARTH_MODEL={model}\n")
        assert shared.run(ask, cwd=tmp_path) == model


def test_a_run_does_not_see_what_another_has_changed(shared: Engine):
    assert shared.run("import changing; changing.value += 1; print(changing.value)") == "2"
    assert shared.run("import changing; changing.value += 1; print(changing.value)") == "2"


def test_two_runs_draw_different_random_numbers(shared: Engine):
    draw = "import random; print(random.random())"
    assert shared.run(draw) != shared.run(draw)


def test_a_run_collects_garbage(shared: Engine):
    assert shared.run("import gc; print(gc.isenabled())") == "True"


def test_a_run_holds_no_pipe_or_socket_of_the_engine(shared: Engine):
    ask = """
import os
for descriptor in os.listdir("/proc/self/fd"):
    opened = os.path.realpath(f"/proc/self/fd/{descriptor}").rpartition("/")[2]
    if int(descriptor) > 2 and opened.startswith(("pipe:", "socket:", "anon_inode:")):  # libraries hold files open
        print(opened)
"""
    assert shared.run(ask) == ""


# How a run ends


@pytest.mark.parametrize("code", [0, 3])
def test_a_runs_process_ends_with_the_exit_code_of_the_fork(shared: Engine, code: int):
    assert ended(shared.start(f"raise SystemExit({code})")) == code


def test_a_runs_process_ends_by_the_signal_that_ended_the_fork(shared: Engine):
    assert ended(shared.start("import os; os.kill(os.getpid(), 9)")) == -signal.SIGKILL


def test_a_run_that_is_killed_takes_no_other_run_with_it(shared: Engine):
    other, _ = shared.hold()
    _, fork = killed = shared.hold()
    fork.kill()
    assert ended(killed[0]) == -signal.SIGKILL
    assert shared.run("print('another')") == "another"
    assert other.poll() is None
    other.terminate()
    ended(other)


def test_a_run_that_is_cancelled_gets_the_signal(shared: Engine):
    process, _ = shared.hold("signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))")
    process.terminate()
    assert ended(process) == 7


def test_a_fork_is_killed_if_its_runs_process_is(shared: Engine):
    process, fork = shared.hold("signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    process.kill()
    ended(process)
    until(lambda: gone(fork))


# Where there is no fork


@pytest.mark.parametrize("variable", ["PYTHONUTF8", "LC_ALL", "PREFECT_RESULTS_PERSIST_BY_DEFAULT"])
def test_a_run_with_another_environment_of_the_interpreter_or_of_prefect_starts_anew(shared: Engine, variable: str):
    assert shared.run("print('forked')", **{variable: "1"}) == "anew"


def test_a_run_starts_anew_after_the_code_was_changed(own: Engine):
    assert own.run("print('forked')") == "forked"
    own.code.write_text("value = 2")
    os.utime(own.code, ns=(1, 1))
    assert own.run("print('forked')") == "anew"


def test_runs_go_on_without_the_engine_and_others_start_anew(own: Engine):
    process, fork = own.hold("signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))")
    own.process.kill()
    own.process.wait()
    assert fork.is_running()
    assert own.run("print('forked')") == "anew"
    process.terminate()
    assert ended(process) == 1  # it cannot know how the fork ended
    until(lambda: gone(fork))


def test_the_engine_ends_after_the_worker_and_the_last_run(own: Engine):
    process, _ = own.hold()
    assert own.process.stdin is not None
    own.process.stdin.close()
    until(lambda: own.run("print('forked')") == "anew")
    assert own.process.poll() is None
    process.terminate()
    ended(process)
    assert own.process.wait(PATIENCE) == 0


def test_a_request_that_is_none_does_no_harm(shared: Engine):
    for sent in (b"", b"\0\0\0\5hello", b"\xff\xff\xff\xff"):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(f"\0{shared.address}")
            stranger.sendall(sent)
    assert shared.run("print('forked')") == "forked"

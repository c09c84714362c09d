"""`python -m tasks.embedded` as a process."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.long("starts a server for each test: 22 s in all")

ROOT = Path(__file__).parents[3]


def run(*arguments):
    command = [sys.executable, "-m", "tasks.embedded", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_port_that_is_taken_is_one_clear_line_and_exit_code_1():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("--port", str(taken.getsockname()[1]))
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.endswith("Address already in use")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_a_host_beyond_loopback_is_refused_with_the_reason(host):
    ended = run("--host", host, "--port", "0")
    assert ended.returncode == 2
    assert "no authentication" in ended.stderr
    assert "--allow-network" in ended.stderr


def test_a_host_beyond_loopback_can_be_allowed(start):
    server = start("--host", "0.0.0.0", "--allow-network")
    server.http.base_url = server.url.replace("0.0.0.0", "127.0.0.1")
    assert server.http.get("/", headers={"Host": "reader.example"}).status_code == 200


@pytest.mark.parametrize(
    "engine", ["nothing", "no.such.module:engine", "tasks.embedded.models:DEFAULT_MODEL", "os:nothing", ":x"]
)
def test_an_engine_that_cannot_be_found_is_named(engine):
    ended = run("--engine", engine)
    assert ended.returncode == 2
    assert repr(engine) in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("arguments", [["--num-parallel", "0"], ["--keep-alive", "soon"]])
def test_a_wrong_argument_is_refused(arguments):
    ended = run(*arguments)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("keep_alive", ["30", "1h", "-1"])
def test_keep_alive_takes_what_ollamas_environment_variable_takes(start, keep_alive):
    assert start(f"--keep-alive={keep_alive}").http.get("/").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_and_at_once(start, number):
    server = start()
    server.http.get("/")
    server.process.send_signal(number)
    assert server.process.wait(PATIENCE) == 0
    assert "Traceback" not in "".join(server.log)


def test_a_page_in_work_is_finished_before_it_stops(waiting, gates, dot):
    gates.hold()
    server = waiting()
    page = server.send(images=[dot])
    until(lambda: gates.begun == 1)
    server.process.terminate()
    until(lambda: not _listens(server))
    gates.let_go()
    assert page.response()[1]["done_reason"] == "stop"
    assert server.process.wait(PATIENCE) == 0


def _listens(server) -> bool:
    try:
        socket.create_connection((server.http.base_url.host, server.http.base_url.port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_page_that_takes_too_long_is_given_up_when_it_stops(waiting, gates, dot):
    gates.hold()
    server = waiting()
    page = server.send(images=[dot])
    until(lambda: gates.begun == 1)
    server.process.terminate()
    assert page.response() == (503, {"error": "server is shutting down"})
    assert server.process.wait(PATIENCE) == 0
    assert "Traceback" not in "".join(server.log)


def test_each_inference_is_one_line_in_the_log(start):
    server = start()
    server.generate(model="missing")
    server.http.get("/api/tags")
    server.process.terminate()
    server.process.wait(PATIENCE)
    logged = ["POST /api/generate 404"]
    until(lambda: [line.rsplit(" ", 1)[0] for line in server.log if line.strip()] == logged)


def test_importing_it_imports_neither_prefect_nor_the_engine_nor_a_web_server():
    code = "import sys, tasks.embedded; sys.exit(bool({'prefect', 'tesserocr', 'uvicorn'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_quiet_logs_no_requests():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tasks.embedded", "--quiet", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:

        def answered() -> bool:
            try:
                httpx.post(f"http://127.0.0.1:{port}/api/generate", json={"model": "missing"}, timeout=PATIENCE)
            except httpx.ConnectError:
                return False
            return True

        try:
            until(answered, every=0.1)
        finally:
            process.terminate()
        assert process.stderr.read() == ""

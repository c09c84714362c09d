"""The tasks' own program, as a process over a real embedded server, or a scripted one where that cannot misbehave."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from PIL import Image

from infra_scripts.ecs import agent as program
from tests.support.infra.machine_stubs import Asked, Stub, free_port, stub
from tests.support.waiting import PATIENCE, until

ROOT = Path(__file__).parents[3]
MODEL = "tesseract:eng"
NUM_CTX = 8192


@dataclass
class Running:
    """An agent, its health address and its server's."""

    process: subprocess.Popen[str]
    health: str
    ollama: str

    def state(self) -> tuple[int, str]:
        try:
            answer = httpx.get(self.health, timeout=PATIENCE)
        except httpx.TransportError:
            return 0, "not there"
        return answer.status_code, answer.json()["state"]

    def until(self, code: int, said: str = "") -> str:
        """Wait until its health check answers so, and return its words."""
        seen: list[tuple[int, str]] = []

        def told() -> str | None:
            seen.append(self.state())
            status, words = seen[-1]
            return words if status == code and said in words else None

        try:
            return until(told)
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen[-1]}") from None

    def generate(self, **body: object) -> httpx.Response:
        asked = {"model": MODEL, "prompt": "read", "stream": False, **body}
        return httpx.post(f"{self.ollama}/api/generate", json=asked, timeout=PATIENCE)


@contextmanager
def running(command: list[str], port: int, directory: Path, **settings: str) -> Iterator[Running]:
    health = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HEARTH_"))},
        **{"HEARTH_MODEL": MODEL, "HEARTH_NUM_CTX": str(NUM_CTX), "HEARTH_POLL_SECONDS": "0.1"},
        **{"HEARTH_OLLAMA_URL": f"http://127.0.0.1:{port}", "HEARTH_HEALTH_PORT": str(health)},
        **{"HEARTH_POOL": "default", "HEARTH_DRAIN_SECONDS": "36000", "ENGINE_HELD": str(directory / "held")},
        **settings,
    }
    # As in the image: a file beside another, with nothing of Hearth to import.
    agent = [sys.executable, "-I", str(directory / "agent.py")]
    for name in ("ecs/agent.py", "machine/aws.py", "machine/gpu.py", "machine/metrics.py"):
        source = ROOT / "infra_scripts" / name
        (directory / source.name).write_text(source.read_text())
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys, runpy; sys.path.insert(0, {str(directory)!r}); sys.argv = sys.argv[1:]; "
         "runpy.run_path(sys.argv[0], run_name='__main__')", agent[-1], *command],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield Running(process, f"http://127.0.0.1:{health}/", f"http://127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts an agent over the embedded server."""
    with ExitStack() as stack:

        def start(**settings: str) -> Running:
            port = free_port()
            server = [sys.executable, "-P", "-m", "tasks.embedded", "--port", str(port), "--num-parallel", "2"]
            command = [*server, "--engine", "tests.support.ecs.engines:held", "--quiet"]
            environment = {"PYTHONPATH": str(ROOT), **settings}
            return stack.enter_context(running(command, port, tmp_path, **environment))

        yield start


SLEEP = [sys.executable, "-c", "import time; time.sleep(36000)"]


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts an agent over a server that lists what a test says."""
    with ExitStack() as stack:

        def start(listed: dict[str, object], **settings: str) -> Running:
            entry = {"name": MODEL, "size": 10, "size_vram": 10, "context_length": NUM_CTX}
            entry |= {"expires_at": "2318-03-03T10:00:00.123456789+01:00", **listed}
            server: Stub = stack.enter_context(stub(lambda _: (200, json.dumps({"models": [entry]}).encode())))
            return stack.enter_context(running(SLEEP, server.port, tmp_path, **settings))

        yield start


def png(width: int) -> str:
    drawn = io.BytesIO()
    Image.new("L", (width, 64), 255).save(drawn, "png")
    return base64.b64encode(drawn.getvalue()).decode()


def test_a_task_is_healthy_when_its_model_is_loaded_as_pages_want_it_and_not_before(embedded):
    task = embedded()
    assert task.state()[0] in {0, 503}
    task.until(200, "warm")
    (loaded,) = httpx.get(f"{task.ollama}/api/ps", timeout=PATIENCE).json()["models"]
    assert (loaded["name"], loaded["context_length"]) == (MODEL, NUM_CTX)
    assert loaded["expires_at"] > "2200"


def test_a_model_that_was_unloaded_is_loaded_again_and_the_time_of_a_page_does_not_unpin_it(embedded):
    task = embedded()
    task.until(200, "warm")
    task.generate(prompt="", keep_alive=0)
    task.until(200, "warm")

    def pinned() -> bool:
        models = httpx.get(f"{task.ollama}/api/ps", timeout=PATIENCE).json()["models"]
        return bool(models) and models[0]["expires_at"] > "2200"

    until(pinned)
    options = {"num_ctx": NUM_CTX, "num_predict": 100, "temperature": 0}
    task.generate(images=[png(100)], keep_alive="5s", shift=False, options=options)
    until(pinned)


def test_a_task_that_is_told_to_go_gets_no_pages_and_ends_when_those_in_flight_have_ended(embedded, tmp_path: Path):
    task = embedded()
    task.until(200, "warm")
    (tmp_path / "held").touch()
    options = {"num_ctx": NUM_CTX, "num_predict": 100, "temperature": 0}
    answers: list[httpx.Response] = []
    body = {"images": [png(400)], "keep_alive": 60, "shift": False, "options": options}
    page = threading.Thread(target=lambda: answers.append(task.generate(**body)))
    page.start()
    port = int(task.ollama.rpartition(":")[2])
    until(lambda: program.aws.connections(port))
    task.process.terminate()
    assert task.until(503, "draining") == "draining"
    assert task.process.poll() is None
    (tmp_path / "held").unlink()
    page.join()
    assert answers[0].status_code == 200
    assert len(answers[0].json()["response"]) == 64
    assert task.process.wait(PATIENCE) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(task.ollama)


def test_pages_that_never_end_do_not_keep_a_task_for_ever(embedded, tmp_path: Path):
    task = embedded(HEARTH_DRAIN_SECONDS="0.3")
    task.until(200, "warm")
    port = int(task.ollama.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)):
        task.process.terminate()
        assert task.process.wait(PATIENCE) == 0


def test_where_ollama_ends_by_itself_so_does_the_task(tmp_path: Path):
    with running([sys.executable, "-c", "raise SystemExit(7)"], free_port(), tmp_path) as task:
        assert task.process.wait(PATIENCE) == 7


@pytest.mark.parametrize(
    ("listed", "settings", "told"),
    [
        ({"name": "another"}, {}, "tesseract:eng is not loaded"),
        ({"context_length": 4096}, {}, "is loaded with a context of 4096, not 8192"),
        ({"size": 8e9, "size_vram": 6e9}, {"HEARTH_REQUIRE_GPU": "1"}, "only 6.0 of 8.0 GB are in GPU memory"),
    ],
)
def test_a_task_that_is_not_as_pages_want_it_says_why(scripted, listed, settings, told: str):
    assert told in scripted(listed, **settings).until(503, told)


def test_what_spills_out_of_the_gpu_is_healthy_where_there_is_none(scripted):
    scripted({"size": 8, "size_vram": 0}).until(200)


@dataclass
class Told:
    """STUB of CloudWatch: what a task told it."""

    asked: list[Asked]

    def values(self, namespace: str, name: str) -> list[dict[float, int]]:
        """Of a metric: each time its values, and how often each was seen."""
        bodies = [json.loads(asked.body) for asked in list(self.asked)]
        found = [datum for body in bodies if body["Namespace"] == namespace for datum in body["MetricData"]]
        named = [datum for datum in found if datum["MetricName"] == name]
        return [dict(zip(datum["Values"], datum["Counts"], strict=True)) for datum in named]

    def used(self) -> list[bool]:
        return [1.0 in each for each in self.values("Hearth/ECS", "InUse")]


@pytest.fixture
def cloudwatch(embedded: Callable[..., Running]) -> Iterator[Callable[..., tuple[Running, Told]]]:
    """Starts an agent that tells it, as often as it looks."""
    keys = {"AccessKeyId": "ASIATEST", "SecretAccessKey": "secret", "Token": "token"}
    told = Told([])

    def take(asked: Asked) -> tuple[int, bytes]:
        told.asked.append(asked)
        return 200, b"{}"

    with stub(lambda _: (200, json.dumps(keys).encode())) as role, stub(take) as monitoring:

        def start(**settings: str) -> tuple[Running, Told]:
            task = embedded(
                AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="/v2/credentials/1",
                HEARTH_CREDENTIALS_URL=role.url,
                HEARTH_MONITORING_URL=monitoring.url,
                HEARTH_PUBLISH_SECONDS="0",
                HEARTH_REGION="us-east-1",
                **settings,
            )
            task.until(200)
            return task, told

        yield start


def read(task: Running) -> None:
    options = {"num_ctx": NUM_CTX, "num_predict": 100, "temperature": 0}
    task.generate(images=[png(100)], keep_alive="600s", shift=False, options=options)


def test_it_tells_cloudwatch_whether_it_was_used_signed_with_the_tasks_own_role(cloudwatch):
    task, told = cloudwatch()
    # Just come: somebody wants it. From then on what is asked of it counts, and not what the agent asks itself.
    assert told.used()[0]
    until(lambda: told.used()[-3:] == [False] * 3)
    before = len(told.used())
    read(task)
    until(lambda: any(told.used()[before:]))
    until(lambda: told.used()[-3:] == [False] * 3)
    assert json.loads(told.asked[0].body)["MetricData"][0]["Dimensions"] == [{"Name": "Pool", "Value": "default"}]
    assert "Credential=ASIATEST/" in told.asked[0].headers["Authorization"]
    assert not told.values("Hearth", "MachinesUp")  # it was not asked for


def test_it_tells_what_machines_tell_so_that_their_alarms_hold_for_tasks(cloudwatch, tmp_path: Path):
    scripted = tmp_path / "nvidia-smi"
    scripted.write_text("#!/bin/sh\necho 70, 7680, 15360, 60; echo '90, [N/A], 15360, 61'\n")
    scripted.chmod(0o755)
    _, told = cloudwatch(HEARTH_METRICS="yes", PATH=f"{tmp_path}:{os.environ['PATH']}")
    until(lambda: len(told.values("Hearth", "MachinesLeased")) >= 3)
    assert set(map(str, told.values("Hearth", "MachinesUp"))) == {"{1.0: 1}"}
    assert [1.0 in each for each in told.values("Hearth", "MachinesLeased")[:3]] == told.used()[:3]
    assert told.values("Hearth", "GpuUsePercent")[-1].keys() == {70.0, 90.0}
    assert told.values("Hearth", "GpuMemoryPercent")[-1].keys() == {50.0}
    assert told.values("Hearth", "GpuCelsius")[-1].keys() == {60.0, 61.0}
    assert told.values("Hearth/ECS", "GpuUse")[-1].keys() == {80.0}


def test_how_busy_gpus_are_is_told_in_any_case_and_of_the_last_minute_alone(cloudwatch, tmp_path: Path):
    scripted = tmp_path / "nvidia-smi"
    scripted.write_text("#!/bin/sh\necho 90, 50, 100, 60\n")
    scripted.chmod(0o755)
    _, told = cloudwatch(PATH=f"{tmp_path}:{os.environ['PATH']}")
    until(lambda: len(told.values("Hearth/ECS", "GpuUse")) >= 3)
    scripted.write_text("#!/bin/sh\necho 10, 50, 100, 60\n")
    until(lambda: told.values("Hearth/ECS", "GpuUse")[-1] == {10.0: 1})


def test_connections_that_the_load_balancer_keeps_are_requests_in_flight_only_while_some_end(cloudwatch):
    task, told = cloudwatch(HEARTH_METRICS="yes")
    with httpx.Client(base_url=task.ollama) as kept:
        kept.get("/api/version")
        until(lambda: told.used()[-3:] == [False] * 3)
        assert [each.keys() for each in told.values("Hearth", "Connections")[-2:]] == [{0.0}] * 2
        before = len(told.values("Hearth", "Connections"))
        read(task)
        until(lambda: any(set(each) - {0.0} for each in told.values("Hearth", "Connections")[before:]))


def test_without_an_argument_it_says_what_it_does(capsys: pytest.CaptureFixture[str]):
    assert program.main([]) == 2
    assert "agent.py ollama serve" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("moment", "offset"),
    [("2026-11-24T10:00:00.1Z", 0), ("2026-11-24T10:00:00+01:00", 3600), ("2026-11-24T10:00:00.12-05:30", -19_800)],
)
def test_times_are_read_as_go_writes_them(moment: str, offset: float):
    assert program._offset(moment) == offset

"""The program of ECS tasks, as a process: when a task is healthy, and how it ends."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

import httpx
import pytest

from infra_scripts.ecs import agent as program
from tests.integration.ecs.agents import MODEL, NUM_CTX, png, running
from tests.support.infra.machine_stubs import free_port
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.long("starts the task's program for each test: 9 s in all")


def test_a_task_is_healthy_once_its_model_is_loaded_with_the_options_of_pages(embedded):
    task = embedded()
    assert task.state()[0] in {0, 503}
    task.until(200, "warm")
    (loaded,) = httpx.get(f"{task.ollama}/api/ps", timeout=PATIENCE).json()["models"]
    assert (loaded["name"], loaded["context_length"]) == (MODEL, NUM_CTX)
    assert loaded["expires_at"] > "2200"


def test_an_unloaded_model_is_loaded_again_and_stays_pinned_after_pages(embedded):
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


def test_a_stopped_task_gets_no_pages_and_ends_after_those_in_flight(embedded, tmp_path: Path):
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


def test_pages_that_never_end_do_not_keep_a_task_running(embedded, tmp_path: Path):
    task = embedded(HEARTH_DRAIN_SECONDS="0.3")
    task.until(200, "warm")
    port = int(task.ollama.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)):
        task.process.terminate()
        assert task.process.wait(PATIENCE) == 0


def test_a_task_ends_with_its_ollama(tmp_path: Path):
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
def test_an_unhealthy_task_reports_the_reason(scripted, listed, settings, told: str):
    assert told in scripted(listed, **settings).until(503, told)


def test_a_model_outside_the_gpu_is_healthy_without_a_gpu(scripted):
    scripted({"size": 8, "size_vram": 0}).until(200)


def test_without_an_argument_it_prints_its_usage(capsys: pytest.CaptureFixture[str]):
    assert program.main([]) == 2
    assert "agent.py ollama serve" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("moment", "offset"),
    [("2026-11-24T10:00:00.1Z", 0), ("2026-11-24T10:00:00+01:00", 3600), ("2026-11-24T10:00:00.12-05:30", -19_800)],
)
def test_times_in_gos_format_are_parsed(moment: str, offset: float):
    assert program.utc_offset(moment) == offset

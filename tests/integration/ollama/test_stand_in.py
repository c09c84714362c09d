"""The stand-in for Ollama behaves like the real one, and its engine is a real llama-server."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import ollama
import psutil
import pytest
from PIL import Image

from tasks.ollama.address import free_port
from tests.integration.embedded.pages import png
from tests.support.environment import clean
from tests.support.ollama.stand_in.program import Program, answers, runners
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.long("tests the harness")


class Server:
    """A stand-in that runs, and ways to talk to it."""

    def __init__(self, process, host: str) -> None:
        self.process, self.host = process, host
        self.client = ollama.Client(f"http://{host}", timeout=PATIENCE)
        self.http = httpx.Client(base_url=f"http://{host}", timeout=PATIENCE, trust_env=False)

    def generate(self, model: str = "chain", **changes) -> httpx.Response:
        """Ask for a page."""
        image = base64.b64encode(png(Image.new("L", (100, 100), 200))).decode()
        body = {"model": model, "prompt": "Read.", "images": [image], "stream": False}
        return self.http.post("/api/generate", json=body | changes)

    @property
    def runners(self) -> list[int]:
        return runners(self.process.pid)

    def busy_slots(self) -> list[bool]:
        """Return for each slot of the engine whether it works, as the engine itself says."""
        command = psutil.Process(self.runners[0]).cmdline()
        slots = httpx.get(f"http://127.0.0.1:{command[command.index('--port') + 1]}/slots", trust_env=False)
        return [slot["is_processing"] for slot in slots.json()]


@contextmanager
def _serving(program: Program, slots: int = 1) -> Iterator[Server]:
    host = f"127.0.0.1:{free_port()}"
    with program.serving(host, slots) as process:
        server = Server(process, host)
        try:
            yield server
        finally:
            server.http.close()
            server.client.close()


@pytest.fixture(scope="module")
def server(ollama_program: Program) -> Iterator[Server]:
    """A server with two slots for tests that leave it as it was."""
    with _serving(ollama_program, 2) as running:
        yield running


@pytest.mark.always
def test_a_page_is_answered_with_known_words_and_measured_figures(server: Server):
    answer = server.generate(options={"num_predict": 20}).json()
    assert answer["response"].startswith(" the0 quick1 brown2 fox3")
    assert (answer["done_reason"], answer["eval_count"]) == ("length", 20)
    assert answer["prompt_eval_count"] > 100  # the picture's tokens among them
    spent = answer["load_duration"] + answer["prompt_eval_duration"] + answer["eval_duration"]
    assert 0 < spent <= answer["total_duration"]


def test_the_parts_of_a_stream_are_the_whole_answer(server: Server):
    *parts, last = [json.loads(line) for line in server.generate(stream=True).text.splitlines()]
    whole = server.generate().json()
    assert "".join(part["response"] for part in parts) == whole["response"]
    assert len(parts) == whole["eval_count"] - 1  # the end is a token, too
    assert (last["done"], last["done_reason"], last["eval_count"]) == (True, "stop", 101)


def test_show_list_and_pull_are_answered(server: Server):
    assert server.client.show("chain").capabilities == ["completion", "vision"]
    assert server.client.show("text").capabilities == ["completion"]
    assert {model.model for model in server.client.list().models} >= {"chain:latest", "text:latest"}
    assert server.client.pull("chain").status == "success"
    with pytest.raises(ollama.ResponseError, match="file does not exist"):
        server.client.pull("nosuch")
    assert server.generate("nosuch").json() == {"error": "model 'nosuch' not found"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_repeated_token_cuts_the_answer_off(server: Server, stream):
    lines = [json.loads(line) for line in server.generate("repeating", stream=stream).text.splitlines()]
    assert lines[-1]["done"] is False
    assert "done_reason" not in lines[-1]
    assert "".join(line["response"] for line in lines).endswith(" jumps19" * 30)


def test_a_loop_of_two_words_continues_to_the_limit(server: Server):
    answer = server.generate("alternating", options={"num_predict": 100}).json()
    assert answer["response"].endswith(" fox18 jumps19 fox18 jumps19")
    assert (answer["done_reason"], answer["eval_count"]) == ("length", 100)


@pytest.mark.parametrize(
    ("model", "words"), [("unknown", "unknown model architecture: 'unheardof'"), ("cut", "error loading model")]
)
def test_a_model_that_cannot_load_is_the_same_error_each_time(server: Server, model, words):
    first, second = (server.generate(model) for _ in range(2))
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (500, second.json())
    assert first.json()["error"].startswith("llama-server process has terminated: exit status 1: ")
    assert words in first.json()["error"]


def test_a_picture_for_a_model_without_vision_is_refused_with_nested_json(server: Server):
    response = server.generate("text")
    assert response.status_code in {400, 500}
    assert "image" in json.loads(response.json()["error"])["error"]["message"]


def test_a_page_over_the_context_is_refused_with_nested_json(server: Server):
    response = server.generate(prompt="word " * 500, options={"num_ctx": 512})
    error = json.loads(response.json()["error"])["error"]
    assert (response.status_code, error["type"]) == (400, "exceed_context_size_error")


def test_the_context_is_part_of_how_a_model_is_loaded(ollama_program: Program):
    with _serving(ollama_program) as server:
        assert server.runners == []
        server.generate(options={"num_ctx": 2048})
        first = server.runners
        server.generate(options={"num_ctx": 2048})
        assert server.runners == first
        server.generate(options={"num_ctx": 4096})
        assert server.runners != first
        assert server.client.ps().models[0].context_length == 4096
        server.http.post("/api/generate", json={"model": "chain", "keep_alive": 0})
        assert (server.runners, server.client.ps().models) == ([], [])


@pytest.mark.parametrize("slots", [1, 3])
def test_as_many_pages_are_read_in_parallel_as_there_are_slots(ollama_program: Program, slots):
    with _serving(ollama_program, slots) as server, ThreadPoolExecutor(5) as pool:
        server.generate("slow", prompt="")
        asked = [pool.submit(server.generate, "slow") for _ in range(5)]
        assert until(lambda: server.busy_slots() == [True] * slots)
        assert all(each.result().json()["done_reason"] == "stop" for each in asked)


def test_a_runner_that_is_killed_is_an_error_once_and_then_replaced(ollama_program: Program):
    with _serving(ollama_program) as server, ThreadPoolExecutor(1) as pool:
        server.generate("alternating", prompt="")
        (runner,) = server.runners
        asked = pool.submit(server.generate, "alternating", options={"num_predict": -1})  # for ever
        until(lambda: any(server.busy_slots()))
        os.kill(runner, signal.SIGKILL)
        response = asked.result()
        assert (response.status_code, "unexpected EOF" in response.text) == (500, True)
        assert server.generate("alternating", prompt="").status_code == 200
        assert server.runners != [runner]


def test_kill_9_leaves_the_runner_behind_and_a_new_server_starts_another(ollama_program: Program):
    with _serving(ollama_program) as server:
        server.generate()
        (orphan,) = server.runners
        server.process.kill()
        server.process.wait()
        try:
            assert psutil.Process(orphan).ppid() != server.process.pid
            assert psutil.Process(orphan).is_running()
            with ollama_program.serving(server.host) as again:
                assert answers(server.host)
                assert server.generate().status_code == 200
                assert runners(again.pid) != [orphan]
        finally:
            os.kill(orphan, signal.SIGKILL)


def test_a_server_that_is_terminated_ends_its_runner(ollama_program: Program):
    with _serving(ollama_program) as server:
        server.generate()
        (runner,) = server.runners
        server.process.terminate()
        server.process.wait()
        until(lambda: not psutil.pid_exists(runner))


def test_a_second_server_on_the_port_is_refused(ollama_program: Program, server: Server):
    environment = clean("OLLAMA_") | {"OLLAMA_HOST": server.host}
    command = [ollama_program.bin / "ollama", "serve"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "address already in use" in done.stderr) == (1, True)

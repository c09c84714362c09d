"""The SageMaker container over real HTTP: the adapter as SageMaker runs it, with the embedded server as Ollama."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from tasks.embedded.models import Store
from tests.support.aws.container import MODEL, Container, container
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.long("starts the adapter and an engine: 2 to 5 s a test")


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """Run a container that works on two pages at once, and ends them as a test wants."""
    with container(tmp_path_factory.mktemp("warm"), engine="held", hearth_beat_seconds=0.1) as started:
        yield started


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """Run another that has 1.5 s for an answer."""
    settings = {"hearth_answer_seconds": 1.5, "hearth_beat_seconds": 0.1}
    with container(tmp_path_factory.mktemp("hasty"), engine="held", **settings) as started:
        yield started


@pytest.fixture(autouse=True)
def let_go(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let no test that fails hold the pages of the next one."""
    yield
    for name in {"warm", "hasty"} & set(request.fixturenames):
        request.getfixturevalue(name).held.unlink(missing_ok=True)


def picture(number: int) -> bytes:
    """Another for each number."""
    written = io.BytesIO()
    Image.new("L", (number + 1, 1)).save(written, "PNG")
    return written.getvalue()


def page(number: int = 0, **changed: object) -> dict[str, Any]:
    image = picture(number)
    body = {"model": MODEL, "prompt": "read", "images": [base64.b64encode(image).decode()], "stream": False}
    return {**body, "keep_alive": "600s", "options": {"num_ctx": 8192, "num_predict": 99}, **changed}


class TestServing:
    @pytest.mark.always
    def test_a_page_gets_the_answer_of_ollama(self, warm: Container):
        answer = warm.invoke(page())
        assert answer.status_code == 200
        assert answer.json()["response"] == hashlib.sha256(picture(0)).hexdigest()

    def test_other_calls_and_their_answers_are_sent_in_an_envelope(self, warm: Container):
        for path, body in (
            ("/api/version", None),
            ("/api/tags", None),
            ("/api/ps", None),
            ("/api/show", {"model": MODEL}),
        ):
            answer = warm.invoke({"path": path, "body": body}).json()
            behind = httpx.get if body is None else httpx.post
            asked = {} if body is None else {"json": body}
            assert answer["status"] == 200
            assert answer["body"] == behind(f"{warm.ollama}{path}", **asked).text

    @pytest.mark.always
    def test_errors_of_ollama_keep_their_status_with_and_without_an_envelope(self, warm: Container):
        asked = page(model="no-such-model")
        bare, enveloped = warm.invoke(asked), warm.invoke({"path": "/api/generate", "body": asked})
        assert bare.status_code == 404
        assert enveloped.status_code == 200
        assert enveloped.json() == {"status": 404, "body": bare.text}

    def test_blanks_are_sent_until_the_answer_if_they_were_requested(self, warm: Container):
        asked = {"path": "/api/generate", "body": page(), "beats": True}
        warm.hold()
        parts: list[bytes] = []
        with httpx.stream("POST", f"{warm.url}/invocations", json=asked, timeout=PATIENCE) as answer:
            for part in answer.iter_raw():
                parts.append(part)
                if len(parts) == 3:
                    warm.let_go()
        assert set(parts[:3]) == {b" "}
        assert json.loads(b"".join(parts))["status"] == 200

    def test_an_answer_that_takes_too_long_is_abandoned_despite_blanks(self, hasty: Container):
        def status(number: int) -> int:
            asked = {"path": "/api/generate", "body": page(300 + number), "beats": True}
            return hasty.invoke(asked).json()["status"]

        hasty.hold()
        with ThreadPoolExecutor(4) as at_once:
            assert list(at_once.map(status, range(4))) == [504] * 4
        hasty.let_go()
        until(lambda: status(9) == 200)

    @pytest.mark.always
    @pytest.mark.parametrize("path", ["/api/pull", "/api/delete", "/", "http://169.254.169.254/", None, 7])
    def test_other_calls_are_refused(self, warm: Container, path: object):
        assert warm.invoke({"path": path, "body": {"model": MODEL}}).json()["status"] == 404

    @pytest.mark.always
    def test_a_body_that_is_not_a_json_object_is_refused(self, warm: Container):
        assert httpx.post(f"{warm.url}/invocations", content=b"\x89PNG").status_code == 400
        assert warm.invoke([1]).status_code == 400

    @pytest.mark.always
    def test_a_run_cannot_unload_the_model(self, warm: Container):
        warm.invoke(page(prompt="", images=[], keep_alive=0))
        assert [each["name"] for each in httpx.get(f"{warm.ollama}/api/ps").json()["models"]] == [MODEL]

    def test_an_answer_that_takes_too_long_is_abandoned_and_its_slot_freed(self, hasty: Container):
        def status(number: int) -> int:
            return hasty.invoke(page(100 + number)).status_code

        hasty.hold()
        with ThreadPoolExecutor(4) as at_once:
            assert list(at_once.map(status, range(4))) == [504] * 4
        hasty.let_go()
        until(lambda: status(9) == 200)

    def test_a_page_whose_client_disconnected_frees_its_slot(self, warm: Container):
        before = sum(warm.read.values())
        warm.hold()
        with ThreadPoolExecutor(2) as at_once:
            held = [at_once.submit(warm.invoke, page(210 + number)) for number in range(2)]
            until(lambda: sum(warm.read.values()) == before + 2)  # both slots are taken
            for number in range(6):
                with suppress(httpx.TimeoutException):
                    warm.invoke(page(200 + number), timeout=0.3)
            # Both servers have heard by then that the callers have gone.
            warm.invoke({"path": "/api/version", "body": None})
            httpx.get(f"{warm.ollama}/api/version", timeout=PATIENCE)
            warm.let_go()
            assert [each.result().status_code for each in held] == [200, 200]
        assert warm.invoke(page(2)).status_code == 200
        unread = {hashlib.sha256(picture(200 + number)).hexdigest() for number in range(6)}
        assert not unread & set(warm.read)


class TestLife:
    def test_ping_is_200_only_while_the_model_is_warm(self, tmp_path: Path):
        (tmp_path / "held").touch()
        with container(tmp_path, engine="held", warm=False) as started:
            until(lambda: "loading" in started.log.read_text())
            assert started.ping() == 503
            started.let_go()
            started.wait_warm()
            assert [each["name"] for each in httpx.get(f"{started.ollama}/api/ps").json()["models"]] == [MODEL]

    def test_sigterm_lets_a_page_end_and_ends_ollama(self, tmp_path: Path):
        with container(tmp_path, engine="held") as started:
            (behind,) = psutil.Process(started.process.pid).children()
            answers: list[int] = []
            reading = threading.Thread(target=lambda: answers.append(started.invoke(page()).status_code))
            started.hold()
            reading.start()
            until(lambda: sum(started.read.values()) == 1)
            started.process.send_signal(signal.SIGTERM)
            until(lambda: started.ping() == 0)  # it has heard, and takes no more
            started.let_go()
            assert started.process.wait(PATIENCE) == 0
            reading.join()
            assert answers == [200]
            assert not behind.is_running()

    def test_a_container_ends_with_its_ollama(self, tmp_path: Path):
        with container(tmp_path, engine="echo") as started:
            (behind,) = psutil.Process(started.process.pid).children()
            os.kill(behind.pid, signal.SIGKILL)
            assert started.process.wait(PATIENCE) == 1
            assert "Ollama ended with exit code -9" in started.log.read_text()

    def test_a_model_in_sagemakers_model_data_is_not_pulled(self, tmp_path: Path):
        for _ in Store(tmp_path / "data").pull(MODEL):
            pass
        with container(tmp_path, hearth_store=tmp_path / "data") as started:
            assert "pulling" not in started.log.read_text()

    def test_a_model_that_cannot_be_pulled_ends_the_container_with_the_reason_in_the_log(self, tmp_path: Path):
        with container(tmp_path, hearth_model="no-such-model", warm=False) as started:
            assert started.process.wait(PATIENCE) == 1
            assert "no-such-model cannot be served" in started.log.read_text()

    def test_a_model_with_a_wrong_digest_ends_the_container(self, tmp_path: Path):
        with container(tmp_path, engine="echo", hearth_model_digest="0" * 12, warm=False) as started:
            assert started.process.wait(PATIENCE) == 1
            assert f"{MODEL} has the digest " in started.log.read_text()

    def test_a_model_with_the_right_digest_is_served(self, tmp_path: Path):
        with container(tmp_path, engine="echo") as started:
            (model,) = httpx.get(f"{started.ollama}/api/tags").json()["models"]
        with container(tmp_path, engine="echo", hearth_model_digest=model["digest"][:12]) as started:
            assert started.ping() == 200

    def test_a_model_that_fell_back_to_the_cpu_ends_the_container_of_a_gpu_instance(self, tmp_path: Path):
        with container(tmp_path, engine="echo", hearth_require_gpu="true", warm=False) as started:
            assert started.process.wait(PATIENCE) == 1
            assert "it runs on the CPU" in started.log.read_text()

"""Real embedded servers on free ports, and pages to read with them."""

import base64
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL

import httpx
import ollama
import pytest
from embedded_pages import LEFT, PARAGRAPHS, RIGHT, png, render
from PIL import Image

from tests.support import forkserver

ROOT = Path(__file__).parents[2]
MODEL = "tesseract:eng"


@dataclass
class Server:
    """A server process and ways to talk to it."""

    process: forkserver.Process
    url: str
    log: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.http = httpx.Client(base_url=self.url, timeout=30)
        self.ollama = ollama.Client(host=self.url, timeout=30)

    def post(self, path: str, **body):
        return self.http.post(path, json=body)

    def generate(self, **body):
        """One answer of /api/generate, whole."""
        return self.post("/api/generate", **{"model": MODEL, "prompt": "read", "stream": False} | body)

    def read(self, image: bytes, **body) -> str:
        response = self.generate(images=[base64.b64encode(image).decode()], **body)
        assert response.status_code == 200, response.text
        return response.json()["response"]

    def loaded(self) -> list[str]:
        return [each["name"] for each in self.http.get("/api/ps").json()["models"]]


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[Server]:
    command = ["--port", "0", *arguments]
    process = forkserver.start("tasks.embedded", *command, cwd=ROOT, env=os.environ | environment, stdout=DEVNULL)
    try:
        first = process.stderr.readline()
        assert first.startswith("listening on "), first + process.stderr.read()
        server = Server(process, first.split()[2].rstrip(","))
        # Drained all the time, so that no log line ever blocks the server.
        drain = threading.Thread(target=lambda: server.log.extend(process.stderr), daemon=True)
        drain.start()
        yield server
        server.http.close()
        server.ollama.close()
    finally:
        process.kill()
        process.wait()
    drain.join()
    process.stderr.close()


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def reading(store) -> Iterator[Server]:
    """A server with the default engine, two slots and its model pulled."""
    with running("--num-parallel", "2", "--models", str(store)) as server:
        server.ollama.pull(MODEL)
        yield server


@pytest.fixture(scope="session")
def shared() -> Iterator[Server]:
    """A server whose engine answers at once, for whatever does not depend on the text."""
    with running("--engine", "tests.embedded.engines:waiting", "--num-parallel", "1", TEST_ENGINE_READ_S="0") as server:
        yield server


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts servers that end with the test."""
    with ExitStack() as stack:
        yield lambda *arguments, **environment: stack.enter_context(running(*arguments, **environment))


@pytest.fixture
def waiting(start) -> Callable[..., Server]:
    """Starts servers with the engine that waits: `read_s` a page, `load_s` a load."""

    def launch(*arguments: str, read_s: float = 0.0, load_s: float = 0.0) -> Server:
        engine = ("--engine", "tests.embedded.engines:waiting")
        return start(*engine, *arguments, TEST_ENGINE_READ_S=str(read_s), TEST_ENGINE_LOAD_S=str(load_s))

    return launch


@pytest.fixture(scope="session")
def page() -> Image.Image:
    """Two paragraphs."""
    return render(((60, 80, 535, 180), PARAGRAPHS[0]), ((60, 200, 535, 300), PARAGRAPHS[1]))


@pytest.fixture(scope="session")
def two_columns() -> Image.Image:
    return render(((50, 80, 280, 300), LEFT), ((315, 80, 545, 300), RIGHT))


@pytest.fixture(scope="session")
def dot() -> str:
    """The smallest image, in base64, for engines that do not look."""
    return base64.b64encode(png(Image.new("L", (1, 1)))).decode()


@pytest.fixture(scope="session")
def lines() -> Callable[[httpx.Response], list[dict]]:
    """The objects of an NDJSON response."""
    return lambda response: [json.loads(line) for line in response.text.splitlines()]

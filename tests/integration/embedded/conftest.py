"""Real embedded servers on free ports, and pages to read with them."""

import base64
import http.client
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
from PIL import Image

from tests.integration.embedded.pages import LEFT, PARAGRAPHS, RIGHT, png, render
from tests.support import forkserver
from tests.support.forked_process import Process
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[3]
MODEL = "tesseract:eng"


@dataclass
class Server:
    """A server process and ways to talk to it."""

    process: Process
    url: str
    log: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE)
        self.ollama = ollama.Client(host=self.url, timeout=PATIENCE)

    def post(self, path: str, **body):
        return self.http.post(path, json=body)

    def send(self, path: str = "/api/generate", **body) -> "Sent":
        """Send a request, and return when it has arrived at the server. It need not be answered yet."""
        connection = http.client.HTTPConnection(self.http.base_url.host, self.http.base_url.port, timeout=PATIENCE)
        content = json.dumps({"model": MODEL, "prompt": "x", "stream": False} | body)
        connection.request("POST", path, content, {"Content-Type": "application/json"})
        for _ in range(3):  # requests are taken in turn: this one before those
            self.http.get("/api/version")
        return Sent(connection)

    def generate(self, **body):
        """One answer of /api/generate, whole."""
        return self.post("/api/generate", **{"model": MODEL, "prompt": "read", "stream": False} | body)

    def read(self, image: bytes, **body) -> str:
        response = self.generate(images=[base64.b64encode(image).decode()], **body)
        assert response.status_code == 200, response.text
        return response.json()["response"]

    def loaded(self) -> list[str]:
        return [each["name"] for each in self.http.get("/api/ps").json()["models"]]


@dataclass
class Sent:
    """A request that was sent."""

    connection: http.client.HTTPConnection

    def response(self) -> tuple[int, dict]:
        """The response's status and body."""
        response = self.connection.getresponse()
        try:
            return response.status, json.loads(response.read())
        finally:
            self.connection.close()

    def leave(self) -> None:
        """Disconnect without a response."""
        self.connection.close()


class Gates:
    """Holds back pages and loads of the waiting engine, and counts the pages that it has started."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)

    def hold(self, what: str = "read") -> None:
        (self.directory / f"hold-{what}").touch()

    def let_go(self, what: str = "read") -> None:
        (self.directory / f"hold-{what}").unlink(missing_ok=True)

    @property
    def begun(self) -> int:
        try:
            return (self.directory / "begun").stat().st_size
        except FileNotFoundError:
            return 0


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
    """A server whose engine answers at once, for tests that do not depend on the text."""
    with running(
        "--engine", "tests.integration.embedded.engines:waiting", "--num-parallel", "1", TEST_ENGINE_READ_S="0"
    ) as server:
        yield server


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts servers that end with the test."""
    with ExitStack() as stack:
        yield lambda *arguments, **environment: stack.enter_context(running(*arguments, **environment))


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[Gates]:
    """Has the engine that waits hold pages and loads back."""
    gates = Gates(tmp_path / "gates")
    yield gates
    for what in ("load", "read"):
        gates.let_go(what)


@pytest.fixture
def waiting(start, gates: Gates) -> Callable[..., Server]:
    """Starts servers with the engine that waits: `read_s` a page, `load_s` a load, and what `gates` holds back."""

    def launch(*arguments: str, read_s: float = 0.0, load_s: float = 0.0) -> Server:
        engine = ("--engine", "tests.integration.embedded.engines:waiting")
        return start(
            *engine,
            *arguments,
            TEST_ENGINE_READ_S=str(read_s),
            TEST_ENGINE_LOAD_S=str(load_s),
            TEST_ENGINE_GATES=str(gates.directory),
        )

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


@pytest.fixture(scope="session")
def sentence(page):
    """A page's image."""
    return png(page)

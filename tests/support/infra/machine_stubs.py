"""Real little servers that stand in for a machine's surroundings: instance metadata, AWS's APIs, Ollama.

Stubs, labelled as such: they answer what a test scripts, and keep what they were asked.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from tests.support.waiting import PATIENCE, until

MACHINE = Path(__file__).parents[3] / "infra_scripts" / "machine"
INSTANCE = "i-0123456789abcdef0"
KEYS = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret+/key", "Token": "session/token=="}
Answer = tuple[int, bytes]


@dataclass
class Asked:
    """One request that a stub got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass
class Stub:
    """A server whose answers are a function that can be changed at any time."""

    answer: Callable[[Asked], Answer | None]
    """None: the connection is left hanging, one byte a while."""
    port: int = 0
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def stub(answer: Callable[[Asked], Answer | None]) -> Iterator[Stub]:
    """Serve it on a free port."""
    stubbed = Stub(answer)
    ending = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Asked(self.command, self.path, dict(self.headers.items()), body)
            stubbed.asked.append(asked)
            answered = stubbed.answer(asked)
            try:
                if answered is None:
                    self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
                    while not ending.wait(0.3):
                        self.wfile.write(b" ")
                        self.wfile.flush()
                    return
                self.send_response(answered[0])
                self.end_headers()
                self.wfile.write(answered[1])
            except OSError:
                return  # the asker has gone

        do_GET = do_PUT = do_POST = _serve  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stubbed.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stubbed
    finally:
        ending.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Surroundings:
    """What a machine finds around itself, and the machine's program in it, as a process."""

    def __init__(self, directory: Path, aws: Stub, ollama: Stub) -> None:
        self.directory = directory
        self.aws = aws
        self.ollama = ollama
        self.off = directory / "off"
        self.state = directory / "run"
        self.program = directory / "opt"
        self.program.mkdir()
        for name in ("machine.py", "aws.py", "metrics.py", "gpu.py"):
            shutil.copy(MACHINE / name, self.program)
        self.interruption: Answer = (404, b"")
        self.tagging: Answer = (200, b"<ok/>")
        self.expires = "2026-11-23T10:00:00Z"
        self.logs: Answer = (200, b"{}")
        self.started: list[subprocess.Popen[str]] = []
        aws.answer = self.answer_aws
        ollama.answer = self.answer_ollama

    def answer_aws(self, asked: Asked) -> Answer | None:
        if asked.path == "/latest/api/token":
            return 200, b"imds-token"
        if asked.path.startswith("/latest/"):
            if asked.headers.get("X-Aws-Ec2-Metadata-Token") != "imds-token":
                return 401, b""
            return {
                "instance-id": (200, INSTANCE.encode()),
                "iam/security-credentials/": (200, b"hearth-role"),
                "iam/security-credentials/hearth-role": (200, json.dumps(KEYS).encode()),
                "spot/instance-action": self.interruption,
            }.get(asked.path.removeprefix("/latest/meta-data/"), (404, b""))
        if "X-Amz-Target" in asked.headers:
            if asked.headers["X-Amz-Target"].endswith("GetParameter"):
                return 200, json.dumps({"Parameter": {"Value": "value of " + json.loads(asked.body)["Name"]}}).encode()
            return self.logs
        return self.tagging

    def answer_ollama(self, _: Asked) -> Answer | None:
        return 200, json.dumps({"models": [{"name": "m", "expires_at": self.expires}]}).encode()

    def environment(self, **changed: object) -> dict[str, str]:
        values: dict[str, object] = {
            "POOL": "default", "REGION": "eu-central-1", "LOG_GROUP": "/hearth/default",
            "IDLE_SECONDS": 1, "BOOT_SECONDS": 36_000, "LIFETIME_SECONDS": 360_000, "POLL_SECONDS": 0.05,
            "NOTICE_SECONDS": 1, "OLLAMA_URL": self.ollama.url, "IMDS_URL": self.aws.url, "EC2_URL": self.aws.url,
            "LOGS_URL": self.aws.url, "SSM_URL": self.aws.url, "MONITORING_URL": self.aws.url,
            "DYNAMODB_URL": self.aws.url, "STATE_DIRECTORY": self.state,
            "POWEROFF": f"touch {self.off}",
            **changed,
        }  # fmt: skip
        return {"PATH": os.environ["PATH"], **{f"HEARTH_{name}": str(value) for name, value in values.items()}}

    def start(self, *command: str, program: str = "machine.py", **changed: object) -> subprocess.Popen[str]:
        """Start a program; -S keeps every installed package from it."""
        process = subprocess.Popen(
            [sys.executable, "-S", str(self.program / program), *command],
            env=self.environment(**changed),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def watch(self, **changed: object) -> subprocess.Popen[str]:
        return self.start("watch", **changed)

    def run(self, *command: str, **changed: object) -> tuple[int, str]:
        process = self.start(*command, **changed)
        out, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, out

    def looks(self, process: subprocess.Popen[str], times: int = 3) -> None:
        """Wait until the watchdog has asked Ollama so many times more; the machine stays on."""
        before = len(self.ollama.asked)
        until(lambda: len(self.ollama.asked) >= before + times or process.poll() is not None)
        assert process.poll() is None
        assert not self.off.exists()

    def kept(self) -> str:
        """What the watchdog has kept; empty if nothing yet."""
        file = self.state / "watch.json"
        return file.read_text() if file.exists() else ""

    def goes(self, process: subprocess.Popen[str]) -> None:
        """Wait until the machine is powered off."""
        assert process.wait(PATIENCE) == 0
        assert self.off.exists()

    def tags(self, key: str) -> list[str]:
        """The values of a tag that were written, or tried to."""
        forms = [asked.form for asked in list(self.aws.asked) if b"CreateTags" in asked.body]
        return [form["Tag.1.Value"] for form in forms if form["Tag.1.Key"] == key]

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()


@contextmanager
def surroundings(directory: Path) -> Iterator[Surroundings]:
    """A machine's surroundings, taken down at the end."""
    with stub(lambda _: (404, b"")) as aws, stub(lambda _: (404, b"")) as ollama:
        around = Surroundings(directory, aws, ollama)
        try:
            yield around
        finally:
            around.close()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port

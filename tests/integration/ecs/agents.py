"""The tasks' own program over a server, as a process."""

from __future__ import annotations

import base64
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image

from tests.support.infra.machine_stubs import free_port
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


SLEEP = [sys.executable, "-c", "import time; time.sleep(36000)"]


def png(width: int) -> str:
    drawn = io.BytesIO()
    Image.new("L", (width, 64), 255).save(drawn, "png")
    return base64.b64encode(drawn.getvalue()).decode()

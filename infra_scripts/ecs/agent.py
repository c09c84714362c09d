"""The first process of a task: it runs Ollama, keeps the model warm, says when it is, and ends it without losing pages.

    agent.py COMMAND...       such as: agent.py ollama serve

`GET /` on HEARTH_HEALTH_PORT answers 200 only while the model is loaded with the context length that pages are read
with, and in GPU memory where that is demanded; else 503 and why. The load balancer asks it, so that a task gets its
first page when it is warm, and no more when it is told to go. Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import mean
from typing import Any
from urllib.parse import urlsplit

try:
    from infra_scripts.machine import aws, metrics
except ImportError:  # in the image, where the files lie side by side
    import aws  # type: ignore[import-not-found,no-redef]  # the same module under its other name
    import metrics  # type: ignore[import-not-found,no-redef]

_PIN_SECONDS = 120
"""A model that would be unloaded sooner than this is pinned again: pages come with a shorter time of their own."""
_LOAD_SECONDS = 600
_NAMESPACE = "Hearth/ECS"
"""What the service is scaled by. Whatever else tasks tell is where machines tell it, and if it is wanted."""


def _log(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the container's log


def _canonical(name: str) -> str:
    """A model's name as host/namespace/model:tag in lower case: by Ollama's rules equal for the same model."""
    path, colon, tag = name.strip().rpartition(":")
    if not colon or "/" in tag:  # the colon of a port
        path, tag = name.strip(), ""
    parts = path.rpartition("://")[2].rsplit("/", 2)
    host, namespace = [*["registry.ollama.ai", "library"][: 3 - len(parts)], *parts[:-1]]
    return f"{host}/{namespace}/{parts[-1]}:{tag or 'latest'}".lower()


class Agent:
    """What the task knows of itself."""

    def __init__(self) -> None:
        self.url = aws.environment("OLLAMA_URL", "http://127.0.0.1:11434").rstrip("/")
        self.model = aws.environment("MODEL")
        self.num_ctx = int(aws.environment("NUM_CTX"))
        self.gpu = aws.environment("REQUIRE_GPU", "0") == "1"
        self.poll = float(aws.environment("POLL_SECONDS", "5"))
        self.publish = float(aws.environment("PUBLISH_SECONDS", "60"))
        self.drain = float(aws.environment("DRAIN_SECONDS", "110"))
        self.why = "Ollama has not answered"
        """Why it is not warm; empty while it is."""
        self.metrics = aws.environment("METRICS", "no") == "yes"
        self.seen = metrics.Seen()
        self.draining = threading.Event()
        self.used = True
        """Since that was published last. A task that has just come is there because somebody wants it."""
        self._expires = ""

    def state(self) -> tuple[int, str]:
        """What the load balancer is told."""
        if self.draining.is_set():
            return 503, "draining"
        return (503, self.why) if self.why else (200, "warm")

    def look(self) -> None:
        """Have the model loaded, and pinned; and see whether it is."""
        loaded = self._loaded()
        # Ollama moves this with every request; a request that another of its kind follows at once is seen all the same.
        self.used = self.used or (loaded is not None and str(loaded["expires_at"]) != self._expires)
        if loaded is None or self._ends_within(loaded) < _PIN_SECONDS:
            self._pin()
            loaded = self._loaded()
        self._expires = "" if loaded is None else str(loaded["expires_at"])
        why = self._amiss(loaded)
        if why != self.why:
            _log(f"Not warm: {why}." if why else f"{self.model} is warm.")
        self.why = why

    def _loaded(self) -> dict[str, Any] | None:
        answer: Any = json.loads(aws.http(f"{self.url}/api/ps", wait=10))
        models: list[dict[str, Any]] = answer["models"] or []
        return next((one for one in models if _canonical(one["name"]) == _canonical(self.model)), None)

    def _pin(self) -> None:
        # As pages are asked for: another value of `shift` or num_ctx would have Ollama load the model again.
        body = {
            **{"model": self.model, "prompt": "", "stream": False, "shift": False, "keep_alive": -1},
            "options": {"num_ctx": self.num_ctx},
        }
        headers = {"Content-Type": "application/json"}
        sent = json.dumps(body).encode()
        aws.http(f"{self.url}/api/generate", method="POST", headers=headers, body=sent, wait=_LOAD_SECONDS)

    def _amiss(self, loaded: dict[str, Any] | None) -> str:
        if loaded is None:
            return f"{self.model} is not loaded"
        if loaded.get("context_length", self.num_ctx) != self.num_ctx:
            return f"{self.model} is loaded with a context of {loaded['context_length']}, not {self.num_ctx}"
        if self.gpu and loaded["size_vram"] < loaded["size"]:
            return f"only {loaded['size_vram'] / 1e9:.1f} of {loaded['size'] / 1e9:.1f} GB are in GPU memory"
        return ""

    def _ends_within(self, loaded: dict[str, Any]) -> float:
        """Seconds until Ollama unloads the model."""
        # Nanoseconds are more than Python 3.10 reads.
        told = str(loaded["expires_at"])[:19] + "+00:00"
        zone = _offset(str(loaded["expires_at"]))
        return datetime.fromisoformat(told).timestamp() - zone - time.time()

    def watch(self, child: subprocess.Popen[bytes]) -> int:
        """Look until Ollama ends, or the task is told to go; the exit code."""
        due = time.monotonic()
        while not self.draining.wait(self.poll):
            if child.poll() is not None:
                _log(f"Ollama ended by itself, with {child.returncode}.")
                return child.returncode or 1
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is not warm
                self.why = f"{type(error).__name__}: {error}"
            with suppress(Exception):  # whatever it is, the task serves on
                self.seen.look()
            if time.monotonic() >= due:
                due += self.publish
                self._publish()
        return self._drained(child)

    def _publish(self) -> None:
        """Tell CloudWatch whether the task was used, and what machines tell; that it was used is told until it arrives.

        Where nothing gets there for the idle time, tasks count as unused: better sent away than forgotten.
        """
        if "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" not in os.environ:
            return
        used, seen = float(self.used), self.seen.values
        if not self.used and "Connections" in seen:
            # The load balancer keeps some open: in a minute in which no request ended, none counts as one in flight.
            seen["Connections"] = Counter({0.0: sum(seen["Connections"].values())})
        values = {"InUse": Counter([used])}
        if "GpuUsePercent" in seen:
            values["GpuUse"] = Counter([mean(seen["GpuUsePercent"].elements())])
        try:
            aws.put_metrics(_NAMESPACE, metrics.metric_data(values, self.seen.pool))
            self.used = False
            if self.metrics:
                self.seen.publish(used)
            self.seen.values.clear()
        except Exception as error:  # noqa: BLE001 - whatever it is, the task serves on
            _log(f"The metrics did not reach CloudWatch ({type(error).__name__}: {error}).")

    def _drained(self, child: subprocess.Popen[bytes]) -> int:
        """Let the pages in flight end, then Ollama."""
        _log(f"Told to go: no new pages; those in flight have {self.drain:g} s.")
        port = urlsplit(self.url).port or 80
        deadline = time.monotonic() + self.drain
        while aws.connections(port) and time.monotonic() < deadline and child.poll() is None:
            time.sleep(min(1.0, self.poll))
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
        return 0


def _offset(moment: str) -> float:
    """Seconds east of Greenwich in a time as Go writes it."""
    if moment.endswith("Z"):
        return 0.0
    sign, hours, minutes = moment[-6], moment[-5:-3], moment[-2:]
    return (-1 if sign == "-" else 1) * (int(hours) * 3600 + int(minutes) * 60)


def serve_health(agent: Agent, port: int) -> None:
    """Answer the load balancer, in a thread of its own."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, told = agent.state()
            body = json.dumps({"state": told}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
            """Every few seconds the same: not worth a line."""

    server = ThreadingHTTPServer(("", port), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main(command: list[str]) -> int:
    """Run a task."""
    if not command:
        _log(__doc__ or "")
        return 2
    agent = Agent()
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, lambda *_: agent.draining.set())
    serve_health(agent, int(aws.environment("HEALTH_PORT", "11436")))
    # In a session of its own: what ends the container is told to this process, which has Ollama finish first.
    child = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - the image's own command
    try:
        return agent.watch(child)
    finally:
        if child.poll() is None:
            child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

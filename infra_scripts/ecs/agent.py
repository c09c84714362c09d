"""The first process of a task: it runs Ollama, keeps the model warm, reports health, and stops without losing pages.

    agent.py COMMAND...       for example: agent.py ollama serve

`GET /` on HEARTH_HEALTH_PORT answers 200 only while the model is loaded with the context length of the pages, and in
GPU memory where that is required; otherwise 503 with the reason. The load balancer asks it, so that a task gets its
first page when it is warm, and none while it stops. Standard library only.
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
except ImportError:  # in the image, where the files are in one directory
    import aws  # type: ignore[import-not-found,no-redef]  # the same module under its other name
    import metrics  # type: ignore[import-not-found,no-redef]

_PIN_SECONDS = 120
"""A model that would be unloaded sooner than this is pinned again: pages set a shorter keep-alive."""
_LOAD_SECONDS = 600
_NAMESPACE = "Hearth/ECS"
"""Namespace of the scaling metrics. All other metrics are optional and in the namespace of machines."""


def _log(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the container's log


def canonical_name(name: str) -> str:
    """Return a model's name as host/namespace/model:tag in lower case, by Ollama's rules."""
    path, colon, tag = name.strip().rpartition(":")
    if not colon or "/" in tag:  # the colon of a port
        path, tag = name.strip(), ""
    parts = path.rpartition("://")[2].rsplit("/", 2)
    host, namespace = [*["registry.ollama.ai", "library"][: 3 - len(parts)], *parts[:-1]]
    return f"{host}/{namespace}/{parts[-1]}:{tag or 'latest'}".lower()


class Agent:
    """The state of the task."""

    def __init__(self) -> None:
        self.url = aws.environment("OLLAMA_URL", "http://127.0.0.1:11434").rstrip("/")
        self.model = aws.environment("MODEL")
        self.num_ctx = int(aws.environment("NUM_CTX"))
        self.gpu = aws.environment("REQUIRE_GPU", "0") == "1"
        self.poll = float(aws.environment("POLL_SECONDS", "5"))
        self.publish = float(aws.environment("PUBLISH_SECONDS", "60"))
        self.drain = float(aws.environment("DRAIN_SECONDS", "110"))
        self.why = "Ollama has not answered"
        """Reason why it is not warm; empty while it is."""
        self.metrics = aws.environment("METRICS", "no") == "yes"
        self.seen = metrics.Seen()
        self.draining = threading.Event()
        self.used = True
        """Whether it was used since the last publication. A new task counts as used."""
        self._expires = ""

    def state(self) -> tuple[int, str]:
        """Return the response to the load balancer."""
        if self.draining.is_set():
            return 503, "draining"
        return (503, self.why) if self.why else (200, "warm")

    def look(self) -> None:
        """Load and pin the model, and check that it is warm."""
        loaded = self._loaded()
        # Ollama moves this time with every request, so that even short requests between two looks are noticed.
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
        response: Any = json.loads(aws.http(f"{self.url}/api/ps", wait=10))
        models: list[dict[str, Any]] = response["models"] or []
        return next((model for model in models if canonical_name(model["name"]) == canonical_name(self.model)), None)

    def _pin(self) -> None:
        # With the options of the pages: another value of `shift` or num_ctx would make Ollama load the model again.
        body = {
            **{"model": self.model, "prompt": "", "stream": False, "shift": False, "keep_alive": -1},
            "options": {"num_ctx": self.num_ctx},
        }
        headers = {"Content-Type": "application/json"}
        data = json.dumps(body).encode()
        aws.http(f"{self.url}/api/generate", method="POST", headers=headers, body=data, wait=_LOAD_SECONDS)

    def _amiss(self, loaded: dict[str, Any] | None) -> str:
        if loaded is None:
            return f"{self.model} is not loaded"
        if loaded.get("context_length", self.num_ctx) != self.num_ctx:
            return f"{self.model} is loaded with a context of {loaded['context_length']}, not {self.num_ctx}"
        if self.gpu and loaded["size_vram"] < loaded["size"]:
            return f"only {loaded['size_vram'] / 1e9:.1f} of {loaded['size'] / 1e9:.1f} GB are in GPU memory"
        return ""

    def _ends_within(self, loaded: dict[str, Any]) -> float:
        """Return the seconds until Ollama unloads the model."""
        # Python 3.10 cannot parse nanoseconds.
        expires = str(loaded["expires_at"])
        return datetime.fromisoformat(expires[:19] + "+00:00").timestamp() - utc_offset(expires) - time.time()

    def watch(self, child: subprocess.Popen[bytes]) -> int:
        """Watch until Ollama ends or the task has to stop; return the exit code."""
        due = time.monotonic()
        while not self.draining.wait(self.poll):
            if child.poll() is not None:
                _log(f"Ollama exited with code {child.returncode}.")
                return child.returncode or 1
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - after any error it is not warm
                self.why = f"{type(error).__name__}: {error}"
            with suppress(Exception):  # the task serves on after any error
                self.seen.look()
            if time.monotonic() >= due:
                due += self.publish
                self._publish()
        return self._drained(child)

    def _publish(self) -> None:
        """Publish to CloudWatch whether the task was used, until CloudWatch accepts it, and the metrics of a machine.

        If nothing is published for the idle time, tasks count as unused and are ended rather than forgotten.
        """
        if "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" not in os.environ:
            return
        used, seen = float(self.used), self.seen.values
        if not self.used and "Connections" in seen:
            # The load balancer keeps connections open: in a minute without a request they do not count as in flight.
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
        except Exception as error:  # noqa: BLE001 - the task serves on after any error
            _log(f"The metrics did not reach CloudWatch ({type(error).__name__}: {error}).")

    def _drained(self, child: subprocess.Popen[bytes]) -> int:
        """Wait for the pages in flight, then stop Ollama."""
        _log(f"Stopping: no new pages; pages in flight have {self.drain:g} s.")
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


def utc_offset(moment: str) -> float:
    """Return the offset from UTC of a time in Go's format, seconds."""
    if moment.endswith("Z"):
        return 0.0
    sign, hours, minutes = moment[-6], moment[-5:-3], moment[-2:]
    return (-1 if sign == "-" else 1) * (int(hours) * 3600 + int(minutes) * 60)


def serve_health(agent: Agent, port: int) -> None:
    """Answer the load balancer's health checks in a separate thread."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, state = agent.state()
            body = json.dumps({"state": state}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
            """Log nothing: checks come every few seconds."""

    server = ThreadingHTTPServer(("", port), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main(command: list[str]) -> int:
    """Run a task."""
    if not command:
        _log(__doc__ or "")
        return 2
    agent = Agent()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.draining.set())
    serve_health(agent, int(aws.environment("HEALTH_PORT", "11436")))
    # In a session of its own: a signal to the container reaches only this process, which lets Ollama finish first.
    child = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - the image's own command
    try:
        return agent.watch(child)
    finally:
        if child.poll() is None:
            child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The machine's own program: it powers the machine off when it is unused, reports its stage, and gives notice.

    machine.py watch              power off when idle or too old; publish notices
    machine.py tell "TEXT"        set the machine's stage in its tag hearth:stage (best effort)
    machine.py log FILE           send the end of a file to the log group (best effort)
    machine.py parameter NAME     print an SSM parameter

Standard library of Python 3.10 only, besides aws.py: it runs on a bare machine, before anything is installed. No error
stops the clocks: a machine that is not powered off costs money.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

try:
    from infra_scripts.machine import aws
except ImportError:  # on the machine, where both files are in one directory
    import aws  # type: ignore[import-not-found,no-redef]  # the same module under its other name

_LOG_LINES = 200


def _log(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - systemd keeps it in the journal


def clock() -> float:
    """Return seconds of a monotonic clock that counts suspended time, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Watch:
    """The watchdog's clocks and state, in a file that survives a restart of the program but not a boot."""

    def __init__(self) -> None:
        self.url = aws.environment("OLLAMA_URL", "http://127.0.0.1:11434").rstrip("/")
        self.port = urlsplit(self.url).port or 80
        self.idle = float(aws.environment("IDLE_SECONDS"))
        self.boot = float(aws.environment("BOOT_SECONDS"))
        self.lifetime = float(aws.environment("LIFETIME_SECONDS"))
        self.notice = float(aws.environment("NOTICE_SECONDS", "120"))
        self.poll = float(aws.environment("POLL_SECONDS", "5"))
        self.longest = float(aws.environment("ANSWER_SECONDS", "10"))
        """Longest time of a poll, seconds: a slow response must not delay the clocks."""
        self.poweroff = shlex.split(aws.environment("POWEROFF", "systemctl poweroff"))
        self.file = Path(aws.environment("STATE_DIRECTORY", "/run/hearth")) / "watch.json"
        self.started = self.active = clock()
        self.answered = False
        self.expires: dict[str, str] = {}
        self.due: str | None = None
        """The notice to publish."""
        self.published: str | None = None
        self._remember()

    def _remember(self) -> None:
        now = clock()
        try:
            state = json.loads(self.file.read_text())
            started, active = float(state["started"]), float(state["active"])
            if not (math.isfinite(started) and math.isfinite(active)):
                return
            self.started, self.active = min(started, now), min(max(active, started), now)
            self.answered = state["answered"] is True
            self.expires = {str(name): str(until) for name, until in dict(state["expires"]).items()}
            self.published = state["published"] and str(state["published"])
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return  # there is no valid state: the clocks start now

    def save(self) -> None:
        """Save the state."""
        names = ("started", "active", "answered", "expires", "published")
        new = self.file.with_suffix(".new")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps({name: getattr(self, name) for name in names}))
            new.replace(self.file)
        except OSError as error:
            _log(f"The state cannot be saved ({error}); the clocks go on.")

    def _models(self) -> dict[str, str] | None:
        """Return each loaded model's expiry, which Ollama moves with every request; None if Ollama does not respond."""
        try:
            response: Any = json.loads(aws.http(f"{self.url}/api/ps", headers={"Connection": "close"}, wait=5))
            return {str(model["name"]): str(model["expires_at"]) for model in response["models"] or ()}
        except Exception:  # noqa: BLE001 - an invalid response counts as none
            return None

    def look(self) -> None:
        """Note whether the machine is in use."""
        # Connections are counted first: the request to Ollama is a connection, too.
        used = aws.connections(self.port) > 0
        models = self._models()
        if models is not None:
            used = used or not self.answered or any(self.expires.get(name) != at for name, at in models.items())
            self.answered = True
            self.expires = models
        if used and self.answered:
            self.active = clock()

    def over(self) -> str | None:
        """Return why the machine has to power off now; None if it stays up."""
        now = clock()
        if now - self.started >= self.lifetime:
            return f"it has reached its lifetime of {self.lifetime / 3600:g} hours"
        if not self.answered:
            return f"Ollama did not answer in {self.boot:g} seconds" if now - self.started >= self.boot else None
        return f"nobody used it for {self.idle:g} seconds" if now - self.active >= self.idle else None

    def warn(self) -> None:
        """Publish in a tag, once, that the machine will power off soon; a failure is retried at the next poll."""
        left = self.lifetime - (clock() - self.started)
        if self.due is None and self.published is None and left <= self.notice:
            self.due = f"{aws.utc_now() + timedelta(seconds=max(0.0, left)):%Y-%m-%dT%H:%M:%SZ} lifetime"
        # A spot interruption comes sooner than a published end of the lifetime.
        if not (self.published or "").endswith("spot-interruption"):
            self.due = self._interruption() or self.due
        if self.due is not None:
            aws.tag("hearth:notice", self.due)
            _log(f"Published: {self.due}")
            self.published, self.due = self.due, None

    def _interruption(self) -> str | None:
        try:
            text = aws.imds("meta-data/spot/instance-action")
            action: Any = json.loads(text) if text else None
            if action and action["action"] in {"terminate", "stop", "hibernate"}:
                at = str(action.get("time"))
                if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", at):
                    at = f"{aws.utc_now() + timedelta(minutes=2):%Y-%m-%dT%H:%M:%SZ}"
                return f"{at} spot-interruption"
        except Exception:  # noqa: BLE001 - tried again at the next poll
            return None
        return None

    def turn(self) -> str | None:
        """Poll once, and return why the machine has to power off now; None if it stays up."""
        self.look()
        why = self.over()
        if why is not None:
            self.look()
            why = self.over()
        self.save()
        if why is None:
            self.warn()
        return why

    def power_off(self, why: str) -> None:
        """Power the machine off."""
        _log(f"Powering off: {why}.")
        subprocess.run(self.poweroff, check=True, timeout=60)  # noqa: S603 - from the machine's own file


def _alive() -> None:
    """Notify systemd that the loop runs; otherwise systemd restarts the watchdog."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.settimeout(1)
            notify.sendto(b"READY=1\nWATCHDOG=1", address.replace("@", "\0", 1) if address[0] == "@" else address)


def _too_long(_signal: int, _frame: object) -> None:
    raise TimeoutError("it took too long")


def watch() -> None:
    """Poll until the machine powers off."""
    signal.signal(signal.SIGALRM, _too_long)
    watched = Watch()
    while True:
        try:
            signal.setitimer(signal.ITIMER_REAL, watched.longest, watched.longest)
            _alive()
            why = watched.turn()
            signal.setitimer(signal.ITIMER_REAL, 0)
            if why is not None:
                watched.power_off(why)
                return
        except Exception as error:  # noqa: BLE001 - no error may stop the clocks
            _log(f"This poll failed ({type(error).__name__}: {error}); the clocks go on.")
        signal.setitimer(signal.ITIMER_REAL, 0)
        time.sleep(watched.poll)


def main(arguments: list[str]) -> int:
    """Run one command."""
    if arguments == ["watch"]:
        watch()
        return 0
    if len(arguments) != 2 or arguments[0] not in {"tell", "log", "parameter"}:
        _log(__doc__ or "")
        return 2
    command, value = arguments
    try:
        if command == "parameter":
            _log(aws.parameter(value))
        elif command == "tell":
            aws.tag("hearth:stage", value)
        else:
            aws.send_log(Path(value).read_text(errors="replace").splitlines()[-_LOG_LINES:])
    except Exception as error:  # noqa: BLE001 - best effort
        sys.stderr.write(f"{command} did not reach AWS ({type(error).__name__}: {error}).\n")
        return 1 if command == "parameter" else 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

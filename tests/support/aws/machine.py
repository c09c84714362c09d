"""One machine: real processes that stand for an instance."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.support.aws.direct import Seen
from tests.support.aws.imds import Metadata
from tests.support.aws.leash import ROOT, end, leashed
from tests.support.aws.plan import Plan
from tests.support.aws.wire import REGION

PROGRAM = ROOT / "infra_scripts/machine/machine.py"
POWER_OFF = Path(__file__).with_name("power_off.py")
TOKEN_PORT = 11435
WATCHDOG = {
    "HEARTH_POOL": "default",
    "HEARTH_REGION": REGION,
    "HEARTH_LOG_GROUP": "/hearth/default",
    "HEARTH_IDLE_SECONDS": "36000",
    "HEARTH_BOOT_SECONDS": "36000",
    "HEARTH_LIFETIME_SECONDS": "360000",
    "HEARTH_POLL_SECONDS": "0.2",
}


class Machine:
    """A machine of the harness.

    Attributes:
        id: of its instance.
        address: where its server listens: the instance's private one.
        metadata: its IMDS.
        up: whether it is powered on.
        boots: how often it was.
    """

    def __init__(
        self, seen: Seen, plan: Plan, port: int, directory: Path, aws_url: str, power_off: Callable[[Machine], None]
    ) -> None:
        self.id = seen.id
        self.market = seen.market
        self.address = seen.address
        self.plan = plan
        self.up = False
        self.boots = 0
        self.powering_off = False
        self.server: subprocess.Popen[bytes] | None = None
        self.proxy: subprocess.Popen[bytes] | None = None
        self.watchdog: subprocess.Popen[bytes] | None = None
        self._port = port
        self.directory = directory / seen.id
        self._aws_url = aws_url
        self._since = 0
        facts = {
            "instance-id": seen.id,
            "instance-type": seen.type,
            "instance-life-cycle": seen.market,
            "local-ipv4": seen.address,
            "placement/availability-zone": seen.zone,
        }
        self.metadata = Metadata(facts, lambda: power_off(self))
        self.directory.mkdir(parents=True)

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self._port}"

    @property
    def console(self) -> str:
        """What its processes have printed, over all boots."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def read(self) -> Counter[str]:
        """How often each page's image was read, by its digest, if its engine notes it."""
        log = self.directory / "images.log"
        lines = log.read_text().split() if log.exists() else []
        return Counter(lines)

    @property
    def serving(self) -> bool:
        """Whether its server listens since this boot."""
        return self.up and self.server is not None and "listening on" in self.console[self._since :]

    def boot(self) -> None:
        """Power on: nothing serves yet, and what was in memory is gone."""
        self._since = len(self.console)
        self.up, self.powering_off = True, False
        self.boots += 1
        if self.plan.watchdog is not None:
            self.watch({})

    def watch(self, changed: dict[str, str]) -> None:
        """Start the watchdog, its clocks included, with some of the plan's settings changed."""
        if self.watchdog is not None:
            end(self.watchdog)
        state = self.directory / "state"
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir()
        self.watchdog = leashed(
            *("tests.support.aws.on_machine", self.address, PROGRAM, "watch"),
            log=self._log,
            environment={**WATCHDOG, **self.own_settings(), **(self.plan.watchdog or {}), **changed},
        )

    def own_settings(self) -> dict[str, str]:
        """Where machine.py finds the machine."""
        return {
            "HEARTH_OLLAMA_URL": self.url,
            "HEARTH_IMDS_URL": self.metadata.url,
            "HEARTH_EC2_URL": self._aws_url,
            "HEARTH_LOGS_URL": self._aws_url,
            "HEARTH_STATE_DIRECTORY": str(self.directory / "state"),
            "HEARTH_POWEROFF": shlex.join([sys.executable, "-S", "-E", str(POWER_OFF), self.metadata.url]),
        }

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run machine.py on it, such as `run("tell", "pulling")`."""
        command = [sys.executable, "-m", "tests.support.aws.on_machine", self.address, str(PROGRAM), *arguments]
        settings = {**os.environ, **WATCHDOG, **self.own_settings(), **environment}
        return subprocess.run(command, env=settings, cwd=ROOT, capture_output=True, text=True, check=False)

    def serve(self) -> None:
        """Start Ollama."""
        self.server = leashed(
            *("tests.support.aws.machine_server", self.address, self._port, json.dumps(asdict(self.plan))),
            log=self._log,
            environment={
                "ENGINE_SECONDS": str(self.plan.engine_s),
                "ENGINE_LOG": str(self.directory / "images.log"),
                "HEARTH_EMBEDDED_MODELS": str(self.directory / "models"),
            },
        )

    def guard(self, certificate: str, key: str, token: str) -> None:
        """Open TOKEN_PORT: TLS and a token before Ollama."""
        for name, text in {"certificate.pem": certificate, "key.pem": key, "token": token}.items():
            (self.directory / name).write_text(text)
        where = (self.address, TOKEN_PORT, self.url, self.directory)
        self.proxy = leashed("tests.support.aws.token_proxy", *where, log=self._log)

    def crash(self) -> None:
        """Ollama dies; the machine goes on."""
        if self.server is not None:
            end(self.server)

    def freeze(self) -> None:
        """It accepts connections and answers no more, as after a failure of its host."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in (self.server, self.proxy, self.watchdog):
            if process is not None and process.poll() is None:
                process.send_signal(number)

    def halt(self) -> None:
        """Power goes. A watchdog that is powering the machine off is seen to its end."""
        self.up = False
        self.crash()
        if self.proxy is not None:
            end(self.proxy)
        if self.watchdog is not None and not self.powering_off:
            end(self.watchdog)

    def close(self) -> None:
        self.powering_off = False
        self.halt()
        self.metadata.close()

    @property
    def _log(self) -> Path:
        return self.directory / "console.log"

    def __repr__(self) -> str:
        return f"<Machine {self.id} {self.address} {'on' if self.up else 'off'} {time.monotonic():.1f}>"

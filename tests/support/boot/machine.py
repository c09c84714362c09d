"""One machine that boots for real: its disk, its container, and the cloud around it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from infra_scripts.ec2.pool import Ec2Stack
from infra_scripts.ec2.user_data import user_data
from tests.support.boot.root import remove
from tests.support.tools import ROOT
from tests.support.waiting import until

_CLOUD_SECONDS = 60
_CGROUPS = Path("/sys/fs/cgroup")
_MAYBE = {"preparing the proxy"}
"""Steps that run beside others, and are told only if they last until they are awaited."""
_SEED = "var/lib/cloud/seed/nocloud"
# All mounts are in a namespace of the container's own, which goes with it.
_BOOT = """
set -e
root=$1 disk=$2 before=$3 network=$4
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
eval "$before"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$disk/upper,workdir=$disk/work" "$disk/all"
exec systemd-nspawn --directory "$disk/all" --machine hearth --boot --register=no --keep-unit --resolv-conf=off \
  --timezone=off --console=read-only --network-namespace-path="$network"
"""


class Machine:
    """A machine of these tests.

    Args:
        root: the disk that all start from, which is not written to.
        cloud: what Cloud wants: certificates, parameters, and the files to serve.
        directory: where its own things are kept.
        instance: its id, to cloud-init as well.
        image: the disk of a machine that was baked; none if it is bare.
    """

    def __init__(self, root: Path, cloud: Path, directory: Path, instance: str, image: Path | None = None) -> None:
        self.instance = instance
        self._root = root
        self._directory = directory
        self._disk = directory / "disk"
        for name in ("upper", "work", "all"):
            (self._disk / name).mkdir(parents=True)
        if image is not None:
            subprocess.run(["cp", "--archive", f"{image}/.", self._disk / "upper"], check=True)
        shutil.copytree(cloud, directory / "cloud")
        command = [sys.executable, "-m", "tests.support.boot.cloud", str(directory / "cloud"), instance]
        self._cloud = subprocess.Popen(
            ["unshare", "--net", *command], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._cloud.stdout
        assert self._cloud.stdout.readline() == "ready\n"
        self._groups = _groups()
        self._container: subprocess.Popen[bytes] | None = None
        self._init: int | None = None
        self.booted_at = 0.0

    @property
    def image(self) -> Path:
        """What its disk has beyond the root, as one bakes it: a copy of it is another machine's disk."""
        return self._disk / "upper"

    def write(self, path: str, text: str) -> None:
        """Write a file on its disk while it is off."""
        file = self._disk / "upper" / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def unpublish(self) -> None:
        """Have the cloud serve no release of Ollama."""
        shutil.rmtree(self._directory / "cloud/served")

    def boot(self, stack: Ec2Stack, before: str = ":") -> None:
        """Power it on with the user data of a stack, after a shell command in the namespace of its disk."""
        # Directories of a lower layer stay hidden where they are made anew in an upper one: this one is nobody else's.
        seed = self._disk / "upper" / _SEED
        seed.mkdir(parents=True, exist_ok=True)
        (seed / "user-data").write_bytes(base64.b64decode(user_data(stack)))
        (seed / "meta-data").write_text(json.dumps({"instance-id": self.instance}))
        arguments = [str(self._root), str(self._disk), before, f"/proc/{self._cloud.pid}/ns/net"]
        legacy = {} if (_CGROUPS / "cgroup.controllers").exists() else {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "0"}
        self.booted_at = time.time()
        with (self._directory / "console.log").open("ab") as console:
            self._container = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", _BOOT, "boot", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env={**os.environ, **legacy},
            )
        self._init = until(self._find_init, _CLOUD_SECONDS)

    def _find_init(self) -> int | None:
        assert self._container is not None
        assert self._container.poll() is None, self.console
        children = Path(f"/proc/{self._container.pid}/task/{self._container.pid}/children").read_text().split()
        for child in map(int, children):
            with suppress(OSError):
                # The container's first process has two ids: ours, and 1.
                if "\tsystemd\n" in (status := Path(f"/proc/{child}/status").read_text()) and "\t1\n" in status:
                    return child
        return None

    @property
    def console(self) -> str:
        """All that it printed, over all boots."""
        return (self._directory / "console.log").read_text(errors="replace")

    @property
    def is_on(self) -> bool:
        """Whether its container runs."""
        return self._container is not None and self._container.poll() is None

    @property
    def asked(self) -> list[dict[str, Any]]:
        """What it asked the cloud since it was booted last."""
        file = self._directory / "cloud/asked.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [asked for asked in map(json.loads, lines) if asked["at"] >= self.booted_at]

    @property
    def stages(self) -> list[str]:
        """What it said of itself since it was booted last, by its tag, but for `_MAYBE`."""
        return [stage for stage in self._tags("hearth:stage") if stage not in _MAYBE]

    @property
    def notices(self) -> list[str]:
        """What it published of its end."""
        return self._tags("hearth:notice")

    def _tags(self, key: str) -> list[str]:
        tags = [asked["asked"] for asked in self.asked if asked["action"] == "CreateTags"]
        return [tag["Tag.1.Value"] for tag in tags if tag["Tag.1.Key"] == key and tag["ResourceId.1"] == self.instance]

    @property
    def events(self) -> list[str]:
        """What its Ollama did since it was booted last."""
        file = self._disk / "upper/usr/share/ollama/events.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [event["what"] for event in map(json.loads, lines) if event["at"] >= self.booted_at]

    def wait_for(self, stage: str) -> float:
        """Wait until it says so, and return the seconds since it was powered on."""
        until(lambda: stage in self.stages or not self.is_on, every=0.1)
        assert stage in self.stages, self.console
        said = next(asked for asked in self.asked if asked.get("asked", {}).get("Tag.1.Value") == stage)
        return float(said["at"]) - self.booted_at

    def wait_until_off(self) -> float:
        """Wait until it has powered itself off, and return the seconds since it was powered on."""
        until(lambda: not self.is_on, every=0.1)
        assert self._container is not None
        # The container ends with an error where systemd did not power it off.
        assert self._container.returncode == 0, self.console
        return time.time() - self.booted_at

    def run(self, *command: str, fails: bool = False) -> str:
        """Run a command on it, which may fail only if `fails` is true."""
        within = ["nsenter", "--target", str(self._init), "--all", "--", *command]
        done = subprocess.run(within, capture_output=True, text=True, check=False)
        assert fails or done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def state(self, unit: str, name: str) -> str:
        """Return a property of a unit; nothing before systemd can be asked."""
        return self.run("systemctl", "show", "--property", name, "--value", unit, fails=True)

    def journal(self, unit: str) -> str:
        """Return what a unit said since the machine was booted last; on or off."""
        journal = ["journalctl", "--directory", self._disk / "upper/var/log/journal", "--output", "cat", "--unit", unit]
        since = ["--since", f"@{int(self.booted_at)}"]
        return subprocess.run([*journal, *since], capture_output=True, text=True, check=True).stdout

    def interrupt(self, seconds: float) -> None:
        """Have spot announce that it takes the machine back."""
        assert self._cloud.stdin
        self._cloud.stdin.write(f"{seconds}\n")
        self._cloud.stdin.flush()

    def power_off(self) -> None:
        """Power it off as EC2 does: systemd is asked to, and ends everything."""
        assert self._init is not None
        os.kill(self._init, signal.SIGRTMIN + 4)
        self.wait_until_off()

    def close(self) -> None:
        """End what is left of it, by the id of its systemd; its cloud; and its disk."""
        if self._container is not None and self.is_on:
            os.kill(self._init or self._container.pid, signal.SIGKILL)
            self._container.wait()
        with self._cloud:
            assert self._cloud.stdin
            self._cloud.stdin.close()
        remove(self._disk)
        # The container's control groups, where it had none to live in: those alone that its boot made.
        for group in _groups() - self._groups:
            find = ["find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]
            subprocess.run(find, capture_output=True, check=False)


def _groups() -> set[Path]:
    names = ("payload", "supervisor", "*/payload", "*/supervisor")
    return {group for name in names for group in _CGROUPS.glob(name)}

"""Programs and files that some tests need and that pip does not install: where they are, and how to get them.

`make tools` installs the programs. A test that needs one carries `needs(...)`; where the program is missing, the test
is skipped, and the end of the run says so in one line for each missing thing, however many tests needed it.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Tool:
    """A program that tests run.

    Args:
        name: its command.
        purpose: why tests want it, as the rest of a sentence.
        others: other names of the same program.
        only_on: the system and the machine that it is built for, if it is not to be had for others.
    """

    name: str
    purpose: str
    others: tuple[str, ...] = ()
    only_on: tuple[str, str] | None = None

    @property
    def path(self) -> Path | None:
        """Return where the program is: on PATH, in .tools, or where Debian keeps it; None where it is missing."""
        for name in (self.name, *self.others):
            if found := shutil.which(name, path=os.pathsep.join(_directories())):
                return Path(found)
        return None

    @property
    def command(self) -> str:
        """Return the program's path, for a test that `needs` it."""
        assert self.path, self.missing
        return str(self.path)

    @property
    def missing(self) -> str:
        """Say that the program is missing, and how to get it."""
        if self.only_on not in {None, (platform.system(), platform.machine())}:
            return f"{self.name} is missing ({self.purpose}): it is to be had for {' '.join(self.only_on or ())} alone"
        return f"{self.name} is missing ({self.purpose}): `make tools` installs it"


def _directories() -> tuple[str, ...]:
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    ours = sorted((ROOT / ".tools").glob("*/bin"))
    return (*os.environ.get("PATH", os.defpath).split(os.pathsep), *map(str, ours), "/usr/sbin", *map(str, debian))


NGINX = Tool("nginx", "it is the proxy on a machine")
CHROMIUM = Tool("chromium", "it shows Prefect's UI", others=("chromium-browser", "google-chrome"))
CHROMEDRIVER = Tool("chromedriver", "it drives Chromium")
CLOUD_INIT = Tool("cloud-init", "it judges a machine's user data")
SYSTEMD_ANALYZE = Tool("systemd-analyze", "it judges a machine's units")
INITDB = Tool("initdb", "it belongs to PostgreSQL, which Prefect is tried on")
UNSHARE = Tool("unshare", "it gives a test a small disk of its own")
CHECKOV = Tool("checkov", "it judges the CloudFormation templates")
PARLIAMENT = Tool("parliament", "it judges the IAM policies")
LLAMA_SERVER = Tool("llama-server", "it is a real engine under Ollama's API", only_on=("Linux", "x86_64"))


@dataclass(frozen=True)
class Data(Tool):
    """Files that tests read, in .tools."""

    @property
    def path(self) -> Path | None:
        """Return where they are; None where they are missing."""
        found = ROOT / ".tools" / self.name / "data"
        return found if found.is_dir() else None


IAM_DATA = Data("iam-data", "it has AWS's reference of actions; npm fetches it")


def needs(*tools: Tool) -> pytest.MarkDecorator:
    """Skip a test where one of the tools is missing."""
    missing = next((tool.missing for tool in tools if not tool.path), None)
    return pytest.mark.skipif(missing is not None, reason=missing or "")


@cache
def _no_mounts() -> str | None:
    if not UNSHARE.path:
        return UNSHARE.missing
    tried = [UNSHARE.command, "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    done = subprocess.run(tried, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    return (
        f"mounting is not allowed here ({done.stderr.strip()}): "
        "allow user namespaces (sysctl user.max_user_namespaces) or run as root"
    )


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own in a mount namespace of its own, which needs no root.

    Args:
        directory: where the namespace's processes find it.
        outside: where everybody else finds it.
        prefix: the start of a command that runs in the namespace, in its caller's directory.
    """

    directory: Path
    outside: Path
    prefix: tuple[str, ...]

    def resize(self, size: str) -> None:
        """Give it another size, such as 10m."""
        # Named whole, so that mount does not add the options that /proc/mounts shows, some of which only root may set.
        command = [*self.prefix, "mount", "-o", f"remount,size={size}", "tmpfs", str(self.directory)]
        subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 100 kB."""
    if reason := _no_mounts():
        pytest.skip(reason)
    directory = tmp_path / "small-disk"
    directory.mkdir()
    mounted = 'mount -t tmpfs -o size=100k tmpfs "$1" && echo mounted && exec cat'
    holder = subprocess.Popen(
        [UNSHARE.command, "--map-root-user", "--mount", "sh", "-c", mounted, "sh", str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout
        assert holder.stdout.readline() == "mounted\n"
        enter = ("nsenter", "--preserve-credentials", "--user", "--mount", "--target", str(holder.pid))
        within = ("sh", "-c", 'cd "$0" && exec "$@"', str(tmp_path))
        yield SmallDisk(directory, Path(f"/proc/{holder.pid}/root{directory}"), (*enter, *within))
        # Its standard input ends, and so does it; the file system goes with the last process of the namespace.


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once for each reason why tests were skipped."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple)
    )
    for reason, count in sorted(reasons.items()):
        tests = "1 test was" if count == 1 else f"{count} tests were"
        terminalreporter.write_line(f"{tests} skipped: {reason}", yellow=True)
